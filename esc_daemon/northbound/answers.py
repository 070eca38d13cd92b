"""
What an answer holds of configuration and state: a filter's choice, with defaults or without.

The pieces come in as they are kept, serialised, or are made when they are taken, and go out so.
"""

import asyncio
import functools
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Final, TypeAlias

from lxml import etree

from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.datamodel.schema import Schema
from esc_daemon.netconf.defaults import WithDefaults, add_defaults, trim_defaults
from esc_daemon.netconf.filters import (
    Filter,
    apply_filter,
    check_filter,
    is_whole_root,
    work_of,
)
from esc_daemon.netconf.xml import name_of
from esc_daemon.northbound.replies import SMALL, HeldReplies, serialised

Prune: TypeAlias = Callable[[etree._Element], None]  # noqa: SLF001  lxml calls it so
"""Takes out of an element what stands in it and may not be read."""
_AT_A_TIME: Final = 2
"""Large answers that are made side by side: each takes several times its size while it is."""
_TINY: Final = 2048
"""Bytes in which no filter can be dear."""
_A_NODE: Final = 16
"""Bytes that an element takes at least, nearly always."""
_LOOKS: Final = 100_000
"""At nodes: a filter that may take more, some milliseconds, holds nobody else up."""


class Answers:
    """Chooses by the data model."""

    def __init__(self, schema: Schema, held: HeldReplies) -> None:
        self._schema = schema
        self._held = held
        self._turn = asyncio.Semaphore(_AT_A_TIME)

    async def whole(
        self, pieces: Iterable[bytes], with_defaults: WithDefaults, prune: Prune | None = None
    ) -> Iterable[bytes]:
        """
        Return all of *pieces*, with or without default data (RFC 6243 section 3).

        *prune* takes out what the asker may not read, None: he may read it all.
        """
        if with_defaults is WithDefaults.EXPLICIT and prune is None:
            return pieces
        return await self._made(pieces, lambda some: self._all(some, with_defaults, prune))

    def _all(
        self, pieces: Iterable[bytes], with_defaults: WithDefaults, prune: Prune | None
    ) -> list[bytes]:
        data = self._readable(pieces, with_defaults, prune)
        if with_defaults is WithDefaults.TRIM:
            trim_defaults(data, self._schema.data_root)
        return serialised(data)

    async def filtered(
        self,
        pieces: Iterable[bytes],
        filter_: Filter,
        with_defaults: WithDefaults,
        default_namespace: str | None = NAMESPACE,
        prune: Prune | None = None,
    ) -> Iterable[bytes]:
        """
        Return what *filter_* chooses of *pieces*, whose roots are those that it may mean.

        It chooses among what *prune* leaves: no filter tells what may not be read (RFC 8341
        section 3.2.4).
        """
        if is_whole_root(filter_):
            return await self.whole(pieces, with_defaults, prune)
        return await self._made(
            pieces,
            lambda some: self._chosen(some, filter_, with_defaults, default_namespace, prune),
            lambda size: size > _TINY and work_of(filter_, size // _A_NODE) > _LOOKS,
        )

    def _chosen(
        self,
        pieces: Iterable[bytes],
        filter_: Filter,
        with_defaults: WithDefaults,
        default_namespace: str | None,
        prune: Prune | None,
    ) -> list[bytes]:
        held = tuple(pieces)
        if not held and with_defaults in {WithDefaults.EXPLICIT, WithDefaults.TRIM}:
            check_filter(filter_, default_namespace=default_namespace)
            return []
        data = self._readable(held, with_defaults, prune)
        apply_filter(data, filter_, default_namespace=default_namespace, key_names=self._key_names)
        if with_defaults is WithDefaults.TRIM:  # what the filter compares is still there before
            trim_defaults(data, self._schema.data_root)
        return serialised(data)

    async def _made(
        self,
        pieces: Iterable[bytes],
        work: Callable[[Iterable[bytes]], list[bytes]],
        is_dear: Callable[[int], bool] = lambda _: False,
    ) -> Iterable[bytes]:
        """
        Do *work* here on what is small, and in a thread on what would hold the sessions up.

        *is_dear* tells of a number of bytes below that whether they take long all the same.
        """
        coming = iter(pieces)
        taken: list[bytes] = []
        size = 0
        for piece in coming:
            taken.append(piece)
            size += len(piece)
            if size >= SMALL:
                break
        else:
            if not is_dear(size):
                return self._held.hold(work(taken))
        async with self._turn:
            made = await asyncio.to_thread(work, chain(taken, coming))
        return self._held.hold(made)

    def _readable(
        self, pieces: Iterable[bytes], with_defaults: WithDefaults, prune: Prune | None
    ) -> etree._Element:
        # defaults first: put in later, they would stand in for what was taken out
        data = self._with_defaults(data_of(pieces), with_defaults)
        if prune is not None:
            prune(data)
        return data

    def _with_defaults(self, data: etree._Element, mode: WithDefaults) -> etree._Element:
        """Put default data in where *mode* reports it, so that a filter can choose it."""
        if mode in {WithDefaults.REPORT_ALL, WithDefaults.REPORT_ALL_TAGGED}:
            tagged = mode is WithDefaults.REPORT_ALL_TAGGED
            add_defaults(data, self._schema.data_root, tagged=tagged)
        return data

    def _key_names(self, element: etree._Element) -> tuple[str, ...]:
        path = []
        while (parent := element.getparent()) is not None:
            path.append(name_of(element))
            element = parent
        return self._keys_at(tuple(reversed(path)))

    @functools.cache  # noqa: B019  one manager a process, and paths of the schema are few
    def _keys_at(self, path: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
        node = self._schema.data_root(*path[0]) if path else None
        for namespace, name in path[1:]:
            if node is None:
                return ()
            node = node.child(namespace, name)
        return node.keys if node is not None else ()


def data_of(pieces: Iterable[bytes]) -> etree._Element:
    return etree.fromstring(b"".join((b"<data>", *pieces, b"</data>")))
