"""The domain brought to life: mailboxes, performer, neighbours, timers, broadcast."""
