"""XML of our namespace as text: for what is written often and never read back."""

import re
from typing import Final

from esc_daemon.netconf.xml import printable

_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
# Characters that stay as they are: nearly every text has no others, and a look is cheaper.
_PLAIN: Final = re.compile("[\t\n\x20-%'-;=?-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")


def escaped(text: str) -> str:
    """Return *text* as character data; what XML cannot carry becomes U+FFFD."""
    if _PLAIN.fullmatch(text):
        return text
    return printable(text).translate(_ESCAPES)


def leaf(name: str, value: object) -> str:
    """Return a leaf; nothing for None and for the empty string."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return f"<{name}>{'true' if value else 'false'}</{name}>"
    return f"<{name}>{escaped(str(value))}</{name}>"


def inner(name: str, *content: str) -> str:
    """Return a container or an entry; nothing when it has no content."""
    body = "".join(content)
    return f"<{name}>{body}</{name}>" if body else ""
