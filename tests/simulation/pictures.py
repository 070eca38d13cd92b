"""Images of the simulation: what happens to them on the way, and what of them must be there."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from esc_daemon.dayzero.images import ImageContent, ImageRefused, ImageUnknown
from esc_daemon.domain.intent import Image
from esc_daemon.domain.record import ResourceRecord
from esc_daemon.domain.states import ResourceState
from esc_daemon.vim.simulator.rows import FlavorRow, ImageRow, NetworkRow
from tests.dayzero.gallery import Gallery
from tests.simulation.clouds import Clouds
from tests.simulation.network import Weather

PICTURES = {"http://127.0.0.1/img": b"an image", "http://127.0.0.1/other": b"another image"}
"""What there is; another source is asked for too."""


class LossyGallery(Gallery):
    """Images that come late, break off, or are not to be had, as the weather is."""

    def __init__(self, weather: Callable[[], Weather], random: Random) -> None:
        super().__init__(PICTURES)
        self._weather = weather
        self._random = random

    @asynccontextmanager
    async def opened(self, image: Image) -> AsyncIterator[ImageContent]:
        w, roll = self._weather(), self._random.random
        self.seconds = self._random.uniform(0, w.longest if roll() < w.late else 0.05)
        self.disturbed = roll() < w.lost_answer
        await asyncio.sleep(0.01)
        if roll() < w.unknown + w.unreachable:
            raise ImageUnknown("sim: the server answers 503")
        if roll() < w.refused:
            raise ImageRefused("sim: somebody moved the image")
        async with super().opened(image) as content:
            yield content


def otherwise(records: Mapping[Any, Any], clouds: Clouds) -> Iterator[str]:
    """Yield the images, flavors and networks that are active and not as they were asked to be."""
    for vim, row in clouds.rows(ImageRow | FlavorRow | NetworkRow):
        record = records.get(row.key)
        if not isinstance(record, ResourceRecord) or record.state is not ResourceState.ACTIVE:
            continue
        if record.vim != vim or record.handle is None or record.handle.resource_id != row.id:
            continue
        if isinstance(row, NetworkRow):
            as_asked = row.shared == record.intent.shared
        else:
            as_asked = row.want == record.intent and getattr(row, "ready", True)
        if not as_asked:
            yield f"not as it was asked to be: {row}"
