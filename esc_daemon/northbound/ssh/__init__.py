"""NETCONF over SSH (RFC 6242): the listener, the sessions, the RPCs."""
