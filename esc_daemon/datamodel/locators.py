"""File locators: which file of which file server a day-0 configuration means."""

from collections.abc import Iterator
from typing import Final

from lxml import etree

from esc_daemon.datamodel.names import esc
from esc_daemon.datamodel.objection import Objection
from esc_daemon.datamodel.shape import ABSENT, Leaf, Shape, steps, text_at
from esc_daemon.domain.checksum import checksum_of
from esc_daemon.domain.intent import RemoteFile

_REMOTE_FILE: Final = Shape(
    RemoteFile,
    {
        "server": Leaf("remote_file/file_server_id"),
        "path": Leaf("remote_file/remote_path"),
        "checksum": Leaf("checksum"),
    },
)
LOCATOR_LEAVES: Final = tuple(
    f"file_locators/file_locator/{leaf}" for leaf in ("name", *_REMOTE_FILE.leaves())
)
"""What is read of the locators of a deployment, or of a configuration."""


class RemoteField:
    """The file of the locator that a configuration names or, until ESC 4.0, holds."""

    absent = ABSENT

    def read(self, element: etree._Element) -> object:
        """
        Return the file as a `RemoteFile`.

        Raises:
            Objection: There are several locators, or the one there is does not say enough.

        """
        locator = _locator(element)
        if locator is None:
            return ABSENT
        _check(locator)
        return _REMOTE_FILE.read(locator)

    def leaves(self) -> Iterator[str]:
        """Yield the leaf that names a locator, and those of a locator."""
        yield "file_locator_name"
        yield from LOCATOR_LEAVES


def _locator(configuration: etree._Element) -> etree._Element | None:
    held = configuration.findall(steps("file_locators/file_locator"))
    if len(held) > 1:
        raise Objection(held[1], "a day-0 file comes from one file_locator, here are several")
    name = text_at(configuration, "file_locator_name")
    if held or name is None:
        return held[0] if held else None
    deployment = next(configuration.iterancestors(esc("deployment")))
    locators = deployment.findall(steps("file_locators/file_locator"))
    return next(each for each in locators if text_at(each, "name") == name)  # by the YANG


def _check(locator: etree._Element) -> None:
    for leaf in ("file_server_id", "remote_path"):
        if text_at(locator, f"remote_file/{leaf}") is None:
            raise Objection(locator, f"a day-0 file needs remote_file/{leaf} in its file_locator")
    for checksum in locator.findall(steps("checksum")):
        try:
            checksum_of(checksum.text or "")
        except ValueError as error:
            raise Objection(checksum, str(error)) from None
