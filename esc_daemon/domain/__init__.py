"""The lifecycle without I/O: intent, record, states, advance, plan, events."""
