"""Images and flavors."""

from dataclasses import replace

from esc_daemon.domain.ids import Key
from esc_daemon.domain.intent import Flavor, Image
from esc_daemon.domain.secrets import without_login
from esc_daemon.vim.base import VimRefused
from esc_daemon.vim.simulator.ledger import Ledger
from esc_daemon.vim.simulator.rows import FlavorRow, ImageRow, Row
from esc_daemon.vim.simulator.settings import CloudSettings


class Catalogue:
    """What servers are made of; when it is open, every name stands in it."""

    def __init__(self, ledger: Ledger, settings: CloudSettings) -> None:
        self._ledger = ledger
        self._settings = settings
        self._images: dict[Key, ImageRow] = {}
        self._flavors: dict[Key, FlavorRow] = {}
        self._image_names: dict[str, list[ImageRow]] = {}
        self._cores: dict[str, list[FlavorRow]] = {}

    def restore(self, row: Row) -> None:
        """Take over a row if it is one of these."""
        if isinstance(row, ImageRow):
            self._add_image(row)
        elif isinstance(row, FlavorRow):
            self._add_flavor(row)

    def _add_image(self, row: ImageRow) -> None:
        self._images[row.key] = row
        self._image_names.setdefault(row.name, []).append(row)

    def _add_flavor(self, row: FlavorRow) -> None:
        self._flavors[row.key] = row
        self._cores.setdefault(row.name, []).append(row)

    def at(self, key: Key) -> ImageRow | FlavorRow | None:
        """Return the image or the flavor with *key*."""
        return self._images.get(key) or self._flavors.get(key)

    def ensure_image(self, key: Key, want: Image) -> ImageRow:
        """Return the image with *key*, made if need be; VimRefused for one of other content."""
        want = without_login(want)  # a manager of an earlier version hands it on
        row = self._images.get(key)
        if row is None:
            ready = not self._settings.image_content or want.src is None
            row = ImageRow(
                id=self._ledger.new_id(), key=key, name=want.name, want=want, ready=ready
            )
            self._add_image(row)
            self._ledger.put(row)
        elif row.want != want:
            _check_same(key, row.want, want)
            row.want = want
            self._ledger.put(row)
        return row

    def check_uploading(self, key: Key, image_id: str) -> None:
        """VimRefused where the image that gets its content is not there any more."""
        self._uploading(key, image_id)

    def _uploading(self, key: Key, image_id: str) -> ImageRow:
        row = self._images.get(key)
        if row is None or row.id != image_id:
            raise VimRefused(f"there is no image {image_id}")
        return row

    def uploaded(self, key: Key, image_id: str, size: int, sha256: str) -> None:
        """Let the image have all of its content; VimRefused where it is not there any more."""
        row = self._uploading(key, image_id)
        row.ready, row.size, row.sha256 = True, size, sha256
        self._ledger.put(row)

    def remove_image(self, key: Key) -> None:
        """Remove the image; servers made of it go on."""
        row = self._images.pop(key, None)
        if row is None:
            return
        self._image_names[row.name].remove(row)
        if not self._image_names[row.name]:
            del self._image_names[row.name]
        self._ledger.drop(row)

    def ensure_flavor(self, key: Key, want: Flavor) -> FlavorRow:
        """Return the flavor with *key*, made if need be; VimRefused for one of another size."""
        row = self._flavors.get(key)
        if row is None:
            row = FlavorRow(
                id=self._ledger.new_id(), key=key, name=want.name, cores=want.vcpus, want=want
            )
            self._add_flavor(row)
            self._ledger.put(row)
        elif row.want != want:
            _check_same(key, row.want, want)
            row.want = want
            self._ledger.put(row)
        return row

    def remove_flavor(self, key: Key) -> None:
        """Remove the flavor; servers of this size go on."""
        row = self._flavors.pop(key, None)
        if row is None:
            return
        self._cores[row.name].remove(row)
        if not self._cores[row.name]:
            del self._cores[row.name]
        self._ledger.drop(row)

    def check_image(self, name: str | None) -> None:
        """VimRefused where a server cannot be made of *name*."""
        if name is None:
            return
        rows = self._image_names.get(name)
        if not rows:
            self._missing("image", name)
        elif not any(row.ready for row in rows):
            raise VimRefused(f"image {name} has no content yet")

    def cores(self, name: str | None) -> int:
        """Return the size of the flavor *name* (1 where nobody said); VimRefused if missing."""
        if name is None:
            return 1
        rows = self._cores.get(name)
        if rows:
            return rows[0].cores
        self._missing("flavor", name)
        return 1

    def _missing(self, what: str, name: str) -> None:
        if not self._settings.open_catalogue:
            raise VimRefused(f"there is no {what} {name}")


def _check_same(key: Key, there: Image | Flavor | None, want: Image | Flavor) -> None:
    """Properties alone can be changed; what was made before that was remembered may be anything."""
    if there is not None and replace(there, properties=want.properties) != want:
        raise VimRefused(f"there is another {key.kind} {want.name} in its place: remove that first")
