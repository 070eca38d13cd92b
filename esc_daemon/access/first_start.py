"""What a data directory needs before anybody can log in."""

import secrets
from pathlib import Path
from typing import Final

from esc_daemon.access.errors import BadPassword
from esc_daemon.access.files import ensure_directory
from esc_daemon.access.keys import KeyKind, ensure_key_pair, public_half
from esc_daemon.access.passwords import MAX_PASSWORD_BYTES, Passwords
from esc_daemon.access.users import ADMINISTRATORS, User, Users

ADMIN: Final = "admin"
LOCAL_CLIENT: Final = "esc-nc-admin"
"""The user of the command line on the same machine: it logs in by a key that lies there."""
USERS_FILE: Final = "users.json"
KEYS_DIRECTORY: Final = "keys"


def prepare(data_dir: Path, passwords: Passwords, *, admin_password: str | None) -> None:
    """
    Make what is missing: the key pair of the local client, in ``keys/``, and its user.

    *admin_password* sets or resets the password of *admin*, whose groups stay as they are when
    there is one. Safe to repeat.

    Raises:
        BadPassword: *admin_password* cannot be used.
        DamagedUsersFile: The users cannot be read.

    """
    ensure_directory(data_dir)
    users = Users(data_dir / USERS_FILE)
    _ensure_local_client(users, data_dir / KEYS_DIRECTORY / LOCAL_CLIENT)
    if admin_password is not None:
        _set_admin(users, passwords.hash(admin_password))


def first_password(data_dir: Path, passwords: Passwords) -> str | None:
    """
    Make up a password of *admin* if there is no user but the local client; to be shown once.

    There is no built-in password. To be called when nothing can fail any more: a start that
    fails leaves none that nobody has seen.

    Raises:
        DamagedUsersFile: The users cannot be read.

    """
    users = Users(data_dir / USERS_FILE)
    if users.all().keys() - {LOCAL_CLIENT}:
        return None
    made_up = secrets.token_urlsafe(18)
    _set_admin(users, passwords.hash(made_up))
    return made_up


def password_from_file(path: Path) -> str:
    """
    Return the first line of *path*, which is how passwords are handed over: never by argument.

    Raises:
        BadPassword: The file cannot be read, or its first line is empty.

    """
    try:
        with path.open(encoding="utf-8") as file:
            password = file.readline(MAX_PASSWORD_BYTES + 2).rstrip("\r\n")
    except OSError as error:
        raise BadPassword(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadPassword(f"{path}: not UTF-8") from error
    if not password:
        raise BadPassword(f"{path}: the first line is empty")
    return password


def _ensure_local_client(users: Users, key: Path) -> None:
    ensure_key_pair(key, KeyKind.ED25519)
    if users.find(LOCAL_CLIENT) is None:
        users.add(LOCAL_CLIENT, User(groups=(ADMINISTRATORS,)))
    users.authorize_key(LOCAL_CLIENT, public_half(key))


def _set_admin(users: Users, hashed: str) -> None:
    if users.find(ADMIN) is None:
        users.add(ADMIN, User(password=hashed, groups=(ADMINISTRATORS,)))
    else:
        users.set_password(ADMIN, hashed)
