"""The composition root: `programs` are what the command line starts, `daemon` builds the daemon."""
