"""Mailboxes, performer, timers and broadcast: the domain brought to life."""
