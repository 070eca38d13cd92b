"""What the files of the data directory are called."""

from typing import Final

DATABASE: Final = "esc.db"
LOCK: Final = f"{DATABASE}.lock"
PORTS_FILE: Final = "ports.json"
"""Where programs of the same machine find this daemon."""
