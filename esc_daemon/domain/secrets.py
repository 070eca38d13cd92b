"""
What is a secret of a VIM connector, a file server or an image, and the place it is sealed for.

Sealed text opens only at its place (`esc_daemon.vault`), so whoever seals and whoever opens have
to name the place alike: both do it here.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from esc_daemon.domain.changed import replace
from esc_daemon.domain.ids import Kind, joined
from esc_daemon.domain.intent import FileServer, Image, VimConnector

FILE_SERVER_PASSWORD: Final = "file_server_password"  # noqa: S105  the name of a leaf
_WORDS: Final = ("password", "secret", "token", "key")

Unseal = Callable[[str, str], str]
"""`Vault.unseal`: from sealed text and its place to what was sealed."""


@lru_cache(maxsize=1024)
def is_secret(name: str) -> bool:
    """Tell whether the value of the property *name* is a secret; case does not count."""
    return any(word in name.lower() for word in _WORDS)


def secret_place(kind: Kind, entry: str, *steps: str) -> str:
    """
    Return the place of a secret of the entry *entry*.

    *steps* are the user and the property for a user's credential, else the property or the leaf.
    """
    return joined(kind.value, entry, *steps)


def opened_connector(connector: VimConnector, unseal: Unseal) -> VimConnector:
    """
    Return *connector* with its secrets as they were sent: for a driver, never to be kept.

    Raises what *unseal* raises.
    """

    def opened(pairs: Iterable[tuple[str, str]], *steps: str) -> tuple[tuple[str, str], ...]:
        return _opened(pairs, unseal, Kind.VIM_CONNECTOR, connector.name, *steps)

    return replace(
        connector,
        properties=opened(connector.properties),
        users=tuple(
            replace(user, credentials=opened(user.credentials, user.name))
            for user in connector.users
        ),
    )


def opened_file_server(server: FileServer, unseal: Unseal) -> FileServer:
    """As `opened_connector`, for whoever fetches a file."""
    password = server.password
    if password:
        place = secret_place(Kind.FILE_SERVER, server.name, FILE_SERVER_PASSWORD)
        password = unseal(password, place)
    properties = _opened(server.properties, unseal, Kind.FILE_SERVER, server.name)
    return replace(server, password=password, properties=properties)


def without_login(image: Image) -> Image:
    """
    Return *image* as others may know it: the URL of its source without login, query and fragment.

    Its content is read here (`dayzero.images`), so that no VIM has to get in there.
    """
    src = image.src
    if src is None:
        return image
    try:
        parts = urlsplit(src)
    except ValueError:  # where the login ends cannot be told
        return replace(image, src="")
    if parts.scheme not in {"http", "https"}:
        return image
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
    return replace(image, src=urlunsplit(bare))


def _opened(
    pairs: Iterable[tuple[str, str]], unseal: Unseal, kind: Kind, entry: str, *steps: str
) -> tuple[tuple[str, str], ...]:
    def opened(name: str, value: str) -> str:
        hidden = value and is_secret(name)  # what is empty was never sealed
        return unseal(value, secret_place(kind, entry, *steps, name)) if hidden else value

    return tuple((name, opened(name, value)) for name, value in pairs)
