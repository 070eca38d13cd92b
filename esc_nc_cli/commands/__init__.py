"""The commands, a module a family; each names its own in COMMANDS."""
