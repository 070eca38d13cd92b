"""Where a filter leads in all that can be read, so that the rest need not be looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.datamodel.operational import Part, part_of
from esc_daemon.datamodel.selection import Selection, selection_of
from esc_daemon.netconf.filters import Filter, Hint, XPathFilter, key_hints, root_hints


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Where the results of a filter lie; the filter is still to be applied there."""

    roots: Sequence[Hint] | None
    """Nodes below data; None stands for any."""
    selection: Selection | None
    """Of the configuration; None is nothing at all."""
    part: Part | None
    """Of opdata; None is nothing at all."""


EVERYWHERE: Final = Way(roots=None, selection=selection_of(()), part=part_of(()))


def way_of(filter_: Filter) -> Way:
    """Return where *filter_* leads; clients send the same XPath again and again."""
    return _way_of_xpath(filter_) if isinstance(filter_, XPathFilter) else _found(filter_)


def _found(filter_: Filter) -> Way:
    hints = key_hints(filter_, default_namespace=NAMESPACE) or ()
    return Way(roots=root_hints(filter_), selection=selection_of(hints), part=part_of(hints))


@lru_cache(maxsize=256)
def _way_of_xpath(filter_: XPathFilter) -> Way:
    return _found(filter_)
