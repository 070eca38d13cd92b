"""A cloud that does not exist: embedded by default, or a program of its own (DESIGN, section 7)."""
