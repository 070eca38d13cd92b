"""
The users, in one small file that the command line and the running daemon share.

A change is a locked read, change and atomic replace; the daemon looks at the file's identity
before each login and reads it again when it has changed.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from esc_daemon.access.errors import (
    BadGroupName,
    BadUserName,
    DamagedUsersFile,
    UserExists,
    UserUnknown,
)
from esc_daemon.access.files import ensure_directory, locked, replace_file
from esc_daemon.access.keys import normal_public_key

ADMINISTRATORS: Final = "esc-admin"
"""The group that the access rules of a first start permit everything."""
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")


class User(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    One user as stored.

    *password* is an Argon2id hash, None for one who cannot log in by password; *keys* are
    public keys as ``type base64``. *groups* is None in a file of before there were groups: who
    could do everything then goes on so.
    """

    password: str | None = None
    keys: tuple[str, ...] = ()
    groups: tuple[str, ...] | None = None

    @property
    def member_of(self) -> tuple[str, ...]:
        """The groups that access rules may be for."""
        return (ADMINISTRATORS,) if self.groups is None else self.groups


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: int = 1
    users: dict[str, User] = msgspec.field(default_factory=dict)


_Identity = tuple[int, int, int]


class Users:
    """The users in the file *path*, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: _Identity | None = None
        self._users: Mapping[str, User] = {}

    def all(self) -> Mapping[str, User]:
        """
        Return the users by name, as the file has them now.

        Raises:
            DamagedUsersFile: It is there and cannot be read.

        """
        identity = self._identity()
        if identity is None or identity != self._seen:
            self._users = self._read()
            self._seen = identity
        return self._users

    @property
    def failing(self) -> bool:
        """Whether nobody can log in: the file has no user, or cannot be read."""
        try:
            return not self.all()
        except (DamagedUsersFile, OSError):
            return True

    def find(self, name: str) -> User | None:
        """Return the user of that name, or None."""
        return self.all().get(name)

    def add(self, name: str, user: User) -> None:
        """
        Add a user.

        Raises:
            UserExists: There is one.
            BadUserName: The name cannot be one.
            BadGroupName: One of the groups' cannot.

        """
        if not _NAME.fullmatch(name):
            raise BadUserName(
                f"{name!r} is no user name: letters, digits, '_', '.', '@', '-', at most 64"
            )
        _check_groups(user.groups or ())
        with self._changing() as users:
            if name in users:
                hint = "`esc_daemon user passwd` and `user groups` change it"
                raise UserExists(f"the user {name} exists already; {hint}")
            users[name] = user

    def set_password(self, name: str, hashed: str) -> None:
        """
        Give a user another password.

        Raises:
            UserUnknown: There is no such user.

        """
        self._change(name, lambda user: msgspec.structs.replace(user, password=hashed))

    def set_groups(self, name: str, groups: Sequence[str]) -> None:
        """
        Make *groups* all that a user is in.

        Raises:
            UserUnknown: There is no such user.
            BadGroupName: A name cannot be a group's.

        """
        _check_groups(groups)
        unique = tuple(dict.fromkeys(groups))
        self._change(name, lambda user: msgspec.structs.replace(user, groups=unique))

    def authorize_key(self, name: str, public_key: str) -> None:
        """
        Let the user in with the private half of *public_key*; twice is no error.

        Raises:
            UserUnknown: There is no such user.
            BadPublicKey: It is not a key in OpenSSH's format.

        """
        key = normal_public_key(public_key)
        self._change(
            name,
            lambda user: (
                user if key in user.keys else msgspec.structs.replace(user, keys=(*user.keys, key))
            ),
        )

    def delete(self, name: str) -> None:
        """
        Remove a user; sessions under way go on.

        Raises:
            UserUnknown: There is no such user.

        """
        with self._changing() as users:
            if users.pop(name, None) is None:
                raise UserUnknown(f"there is no user {name}")

    def _change(self, name: str, change: Callable[[User], User]) -> None:
        with self._changing() as users:
            user = users.get(name)
            if user is None:
                raise UserUnknown(f"there is no user {name}")
            users[name] = change(user)

    @contextmanager
    def _changing(self) -> Iterator[dict[str, User]]:
        ensure_directory(self._path.parent)
        with locked(self._path.parent):
            users = dict(self._read())
            yield users
            content = msgspec.json.encode(_File(users=users))
            replace_file(self._path, msgspec.json.format(content, indent=2) + b"\n")
            self._seen = None

    def _read(self) -> Mapping[str, User]:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise DamagedUsersFile(f"{self._path} cannot be read: {error.strerror}") from error
        try:
            file = msgspec.json.decode(content, type=_File)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            # msgspec names the place, never the value.
            hint = "mend it or put it back from a backup"
            raise DamagedUsersFile(f"{self._path} cannot be read: {error}; {hint}") from error
        if file.version != 1:
            raise DamagedUsersFile(f"{self._path} has version {file.version}; we read version 1")
        return file.users

    def _identity(self) -> _Identity | None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size


def _check_groups(names: Iterable[str]) -> None:
    for name in names:
        if not _NAME.fullmatch(name):
            raise BadGroupName(
                f"{name!r} is no group name: letters, digits, '_', '.', '@', '-', at most 64"
            )
