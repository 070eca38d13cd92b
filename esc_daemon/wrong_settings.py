"""What is wrong with a setting, in words for who wrote it, and where he did."""

import difflib
import os
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from pydantic_core import ErrorDetails

_WHOLE_NUMBER: Final = "a whole number"
_NUMBER: Final = "a number"
_TRUTH: Final = "true or false"
_LIST: Final = 'a list, such as ["one", "two"]'
_TABLE: Final = "a table with keys of its own"
_WANTED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), _WHOLE_NUMBER),
    **dict.fromkeys(("float_type", "float_parsing"), _NUMBER),
    **dict.fromkeys(("bool_type", "bool_parsing"), _TRUTH),
    **dict.fromkeys(("tuple_type", "list_type"), _LIST),
    **dict.fromkeys(("model_type", "dict_type"), _TABLE),
    "string_type": "a text, in quotes",
    "path_type": "a path, in quotes",
}
"""What a value is to be, by pydantic's name of the error."""
_FIELD: Final = re.compile(r'field "(?P<name>\w+)"')


class Places(NamedTuple):
    """Where settings come from: *variable* returns the one of the environment for a key."""

    variable: Callable[[str], str]
    config: Path | None
    overrides: Mapping[str, object]

    def of(self, key: str) -> str:
        """Return where the value of *key* stands, in brackets; nothing if in doubt."""
        first = key.partition(".")[0]
        if first in self.overrides:
            return ""
        set_there = {name.upper() for name in os.environ}
        if not set_there.isdisjoint(above := [self.variable(first), self.variable(key)]):
            return f" (in {next(each for each in reversed(above) if each in set_there)})"
        inside = f"{self.variable(key)}__"  # a table may be of the file and of variables
        if self.config is None or any(each.startswith(inside) for each in set_there):
            return ""
        return f" (in {self.config})"


def told(details: ErrorDetails, known: Collection[str], places: Places) -> str:
    """Return the problem of pydantic's *details*, its key first; *known* are all keys."""
    key = ".".join(str(part) for part in details["loc"])
    return f"{key}: {_problem(key, details, known)}{places.of(key)}"


def _problem(key: str, details: ErrorDetails, known: Collection[str]) -> str:
    if details["type"] == "extra_forbidden":
        return f"unknown key{hint(key, known)}"
    wanted = _WANTED.get(details["type"])
    if wanted is not None:
        return f"it has to be {wanted}"
    text = details["msg"].removeprefix("Value error, ")
    text = text.replace("Input should", "it has to").replace("String should", "it has to")
    return f"{text[:1].lower()}{text[1:]}"


def unreadable(text: str, variable: Callable[[str], str]) -> str:
    """Return the problem of pydantic's *text* on a variable of the environment that is no JSON."""
    found = _FIELD.search(text)
    if found is None:
        return text
    name = variable(found["name"])
    set_there = (each for each in os.environ if f"{each.upper()}__".startswith(f"{name}__"))
    return f"{' or '.join(sorted(set_there))}: a list or a table has to be JSON there"


def hint(name: str, known: Collection[str]) -> str:
    """Return the end of a problem with the unknown *name*: which one may be meant, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
