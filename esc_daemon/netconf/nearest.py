"""Which of the known names somebody may have meant who wrote another one."""

from collections.abc import Collection
from difflib import get_close_matches
from typing import Final

_LONGEST: Final = 64
"""Characters of a name for which another is looked for; ours have half of that."""
_ALIKE: Final = 0.7
"""As difflib has it: one wrong letter of four is alike, another word is not."""


def nearest(name: str, known: Collection[str]) -> str | None:
    """Return the one of *known* that is most like *name*, capitals or not; None if none is."""
    if len(name) > _LONGEST:
        return None
    spelt = {each.lower(): each for each in known}
    found = get_close_matches(name.lower(), spelt, n=1, cutoff=_ALIKE)
    return spelt[found[0]] if found else None


def meant(name: str, known: Collection[str]) -> str:
    """Return the end of a message about the unknown *name*: which one may be meant, or nothing."""
    found = nearest(name, known)
    return "" if found is None else f"; did you mean {found}?"
