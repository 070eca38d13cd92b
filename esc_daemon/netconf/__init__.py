"""NETCONF without I/O, server side: framing, messages, sessions, filters, edit operations."""
