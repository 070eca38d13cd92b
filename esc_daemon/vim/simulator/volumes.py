"""Volumes: what they hold, and which server has them."""

from esc_daemon.domain.ids import VolumeKey
from esc_daemon.domain.specs import Volume, VolumeSpec
from esc_daemon.vim.base import VimRefused
from esc_daemon.vim.simulator.catalogue import Catalogue
from esc_daemon.vim.simulator.ledger import Ledger
from esc_daemon.vim.simulator.projects import Projects, is_id
from esc_daemon.vim.simulator.rows import Row, VolumeRow
from esc_daemon.vim.simulator.settings import CloudSettings


class Volumes:
    """
    The volumes of one cloud, those that were made by their key.

    What stands in none of the keys belongs to nobody here: it is found by its name or its id. When
    the catalogue is open, every name stands in it.
    """

    def __init__(
        self, ledger: Ledger, settings: CloudSettings, projects: Projects, catalogue: Catalogue
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._projects = projects
        self._catalogue = catalogue
        self._by_key: dict[VolumeKey, VolumeRow] = {}
        self._by_name: dict[tuple[str, str], dict[str, VolumeRow]] = {}
        self.rows: dict[str, VolumeRow] = {}
        self.bound: dict[str, str] = {}
        """The server's id by the volume's."""

    def restore(self, row: Row) -> None:
        """Take over a row if it is one of these."""
        if isinstance(row, VolumeRow):
            self._add(row)

    def _add(self, row: VolumeRow) -> None:
        self.rows[row.id] = row
        self._by_name.setdefault((row.project, row.name), {})[row.id] = row
        if row.key is not None:
            self._by_key[row.key] = row
            usage = self._projects.usage[row.project]
            usage.volumes += 1
            usage.gigabytes += row.size_gib

    def drop(self, row: VolumeRow) -> None:
        """Let go of a volume, whether a server has it or not."""
        del self.rows[row.id]
        named = self._by_name[row.project, row.name]
        del named[row.id]
        if not named:
            del self._by_name[row.project, row.name]
        self.bound.pop(row.id, None)
        if row.key is not None:
            del self._by_key[row.key]
            usage = self._projects.usage[row.project]
            usage.volumes -= 1
            usage.gigabytes -= row.size_gib
        self._ledger.drop(row)

    def ensure(self, want: VolumeSpec) -> Volume:
        """Return the volume, made if need be and if a size says so; VimRefused as VimDriver."""
        try:
            row = self._found(want) if want.size_gib is None else self._made(want, want.size_gib)
        except VimRefused as error:
            raise VimRefused(f"volume {want.key.name} of {want.key.owner}: {error}") from None
        return view(row, want.key)

    def _made(self, want: VolumeSpec, size_gib: int) -> VolumeRow:
        project = self._projects.resolve(want.project)
        old = self._by_key.get(want.key)
        if old is not None:
            if (old.volume_type, old.image) == (want.type, want.image):
                return self._grown(old, size_gib)
            self._check_free(old)
            self.drop(old)
        elif want.lasting and want.volume_id is not None:
            raise VimRefused(f"there is no volume with the id {want.volume_id} any more")
        self._projects.allow(project, volumes=1, gigabytes=size_gib)
        self._catalogue.check_image(want.image)
        id_ = self._ledger.new_id()
        row = VolumeRow(
            id=id_,
            key=want.key,
            name=want.name,
            project=project,
            size_gib=size_gib,
            volume_type=want.type,
            image=want.image,
            content=f"image {want.image}" if want.image else f"blank {id_}",
        )
        self._add(row)
        self._ledger.put(row)
        return row

    def _grown(self, row: VolumeRow, size_gib: int) -> VolumeRow:
        """Let it be as large as that, if it is not yet; also while a server has it."""
        more = size_gib - row.size_gib
        if more > 0:
            self._projects.allow(row.project, gigabytes=more)
            self._projects.usage[row.project].gigabytes += more
            row.size_gib = size_gib
            self._ledger.put(row)
        return row

    def _found(self, want: VolumeSpec) -> VolumeRow:
        project = self._projects.resolve(want.project)
        if want.volume_id is not None or is_id(want.name):
            id_ = want.volume_id or want.name
            row = self.rows.get(id_)
            if row is None or row.project != project:
                raise VimRefused(f"there is no volume with the id {id_}")
            return row
        named = list(self._by_name.get((project, want.name), {}).values())
        if len(named) > 1:
            raise VimRefused(f"{len(named)} volumes are called {want.name}: give the id of one")
        if named:
            return named[0]
        if not self._settings.open_catalogue:
            raise VimRefused(f"there is no volume {want.name}")
        return self.put(project, want.name)

    def put(self, project: str, name: str, size_gib: int = 1) -> VolumeRow:
        """Return a new volume that belongs to nobody here, as its operator may make one."""
        id_ = self._ledger.new_id()
        row = VolumeRow(
            id=id_,
            key=None,
            name=name,
            project=project,
            size_gib=size_gib,
            content=f"volume {name} {id_}",
        )
        self._add(row)
        self._ledger.put(row)
        return row

    def made(self, key: VolumeKey) -> bool:
        """Tell whether there is one that was made for *key*."""
        return key in self._by_key

    def remove(self, key: VolumeKey) -> None:
        """Delete what was made for *key*; VimRefused while a server has it."""
        row = self._by_key.get(key)
        if row is None:
            return
        try:
            self._check_free(row)
        except VimRefused as error:
            raise VimRefused(f"volume {key.name} of {key.owner}: {error}") from None
        self.drop(row)

    def _check_free(self, row: VolumeRow) -> None:
        if row.id in self.bound:
            raise VimRefused(
                f"{row.id} is attached to server {self.bound[row.id]}: detach it first"
            )

    def check_free(self, spec: VolumeSpec) -> str:
        """Return the id of *spec*; VimRefused where it cannot be attached."""
        row = self.rows.get(spec.volume_id or "")
        if row is None:
            raise VimRefused(f"volume {spec.volume_id} of {spec.key.owner} does not exist")
        self._check_free(row)
        return row.id


def view(row: VolumeRow, key: VolumeKey) -> Volume:
    """Return the volume as the VIM shows it to who knows it by *key*."""
    return Volume(key=key, volume_id=row.id, name=row.name, size_gib=row.size_gib)
