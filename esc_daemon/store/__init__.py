"""Records, configuration entries and events on disk; the only room that knows SQL."""
