"""
The rpc-error of RFC 6241 section 4.3 and appendix A.

Errors of this file:

* RpcError: one rpc-error
* RpcErrors: several, for one reply
"""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Final, Self

from lxml import etree

from esc_daemon.netconf.nearest import meant
from esc_daemon.netconf.xml import BASE_NS, printable, qualified

_XML_LANG: Final = "{http://www.w3.org/XML/1998/namespace}lang"


class ErrorType(StrEnum):
    """RFC 6241 section 4.3: the layer in which the error was found; none is of the transport."""

    RPC = "rpc"
    PROTOCOL = "protocol"
    APPLICATION = "application"


class ErrorSeverity(StrEnum):
    """RFC 6241 section 4.3; no error of the RFC uses *warning*."""

    ERROR = "error"
    WARNING = "warning"


class ErrorTag(StrEnum):
    """RFC 6241 appendix A, without the obsolete partial-operation."""

    IN_USE = "in-use"
    INVALID_VALUE = "invalid-value"
    TOO_BIG = "too-big"
    MISSING_ATTRIBUTE = "missing-attribute"
    BAD_ATTRIBUTE = "bad-attribute"
    UNKNOWN_ATTRIBUTE = "unknown-attribute"
    MISSING_ELEMENT = "missing-element"
    BAD_ELEMENT = "bad-element"
    UNKNOWN_ELEMENT = "unknown-element"
    UNKNOWN_NAMESPACE = "unknown-namespace"
    ACCESS_DENIED = "access-denied"
    LOCK_DENIED = "lock-denied"
    RESOURCE_DENIED = "resource-denied"
    ROLLBACK_FAILED = "rollback-failed"
    DATA_EXISTS = "data-exists"
    DATA_MISSING = "data-missing"
    OPERATION_NOT_SUPPORTED = "operation-not-supported"
    OPERATION_FAILED = "operation-failed"
    MALFORMED_MESSAGE = "malformed-message"


class RpcError(Exception):
    """
    One rpc-error. Not to be changed once made: *at* and *tagged* return copies.

    *path* is an absolute instance path with prefixes; *namespaces* binds the prefixes.
    *info* holds (name, text) of the elements of error-info; a name without ``{namespace}`` is one
    of the RFC's own.
    """

    def __init__(
        self,
        error_type: ErrorType,
        tag: ErrorTag,
        message: str,
        *,
        path: str = "",
        info: Sequence[tuple[str, str]] = (),
        app_tag: str | None = None,
        namespaces: Mapping[str, str] | None = None,
        severity: ErrorSeverity = ErrorSeverity.ERROR,
    ) -> None:
        super().__init__(f"{tag} at {path}: {message}" if path else f"{tag}: {message}")
        self.type: Final = error_type
        self.tag: Final = tag
        self.message: Final = message
        self.path: Final = path
        self.info: Final = tuple(info)
        self.app_tag: Final = app_tag
        self.namespaces: Final[Mapping[str, str]] = dict(namespaces or {})
        self.severity: Final = severity

    def at(self, path: str, namespaces: Mapping[str, str] | None = None) -> "RpcError":
        """Return the same error at another place."""
        return RpcError(
            self.type,
            self.tag,
            self.message,
            path=path,
            info=self.info,
            app_tag=self.app_tag,
            namespaces=namespaces or self.namespaces,
            severity=self.severity,
        )

    def tagged(self, app_tag: str) -> "RpcError":
        """Return the same error with an error-app-tag, as RFC 7950 section 15 asks for some."""
        return RpcError(
            self.type,
            self.tag,
            self.message,
            path=self.path,
            info=self.info,
            app_tag=app_tag,
            namespaces=self.namespaces,
            severity=self.severity,
        )

    def to_element(self) -> etree._Element:
        """Return the rpc-error element, its children in the order of RFC 6241 section 4.3."""
        error = etree.Element(qualified(BASE_NS, "rpc-error"), nsmap={None: BASE_NS})
        _leaf(error, "error-type", self.type)
        _leaf(error, "error-tag", self.tag)
        _leaf(error, "error-severity", self.severity)
        if self.app_tag is not None:
            _leaf(error, "error-app-tag", self.app_tag)
        if self.path:
            _leaf(error, "error-path", self.path, self.namespaces)
        _leaf(error, "error-message", self.message).set(_XML_LANG, "en")
        if self.info:
            info = etree.SubElement(error, qualified(BASE_NS, "error-info"))
            for name, text in self.info:
                _leaf(info, name, text)
        return error

    @classmethod
    def in_use(cls, path: str, message: str) -> Self:
        """Return the error of a resource that somebody else holds."""
        return cls(ErrorType.APPLICATION, ErrorTag.IN_USE, message, path=path)

    @classmethod
    def invalid_value(cls, path: str, message: str) -> Self:
        """Return the error of a parameter whose value is not acceptable."""
        return cls(ErrorType.APPLICATION, ErrorTag.INVALID_VALUE, message, path=path)

    @classmethod
    def too_big(cls, message: str) -> Self:
        """Return the error of a request or an answer larger than we handle."""
        return cls(ErrorType.RPC, ErrorTag.TOO_BIG, message)

    @classmethod
    def missing_attribute(cls, path: str, element: str, attribute: str) -> Self:
        """Return the error of an attribute that must be there."""
        return cls(
            ErrorType.RPC,
            ErrorTag.MISSING_ATTRIBUTE,
            f"the attribute {attribute} of {element} is missing",
            path=path,
            info=(("bad-attribute", attribute), ("bad-element", element)),
        )

    @classmethod
    def bad_attribute(cls, path: str, element: str, attribute: str, message: str) -> Self:
        """Return the error of an attribute whose value is wrong."""
        return cls(
            ErrorType.PROTOCOL,
            ErrorTag.BAD_ATTRIBUTE,
            message,
            path=path,
            info=(("bad-attribute", attribute), ("bad-element", element)),
        )

    @classmethod
    def unknown_attribute(cls, path: str, element: str, attribute: str) -> Self:
        """Return the error of an attribute that nobody asked for."""
        return cls(
            ErrorType.PROTOCOL,
            ErrorTag.UNKNOWN_ATTRIBUTE,
            f"{element} has no attribute {attribute}; is its namespace prefix missing?",
            path=path,
            info=(("bad-attribute", attribute), ("bad-element", element)),
        )

    @classmethod
    def missing_element(cls, path: str, name: str, message: str | None = None) -> Self:
        """Return the error of an element that must be there."""
        return cls(
            ErrorType.PROTOCOL,
            ErrorTag.MISSING_ELEMENT,
            message or f"the element {name} is missing",
            path=path,
            info=(("bad-element", name),),
        )

    @classmethod
    def bad_element(cls, path: str, name: str, message: str) -> Self:
        """Return the error of an element whose content is wrong."""
        return cls(
            ErrorType.PROTOCOL,
            ErrorTag.BAD_ELEMENT,
            message,
            path=path,
            info=(("bad-element", name),),
        )

    @classmethod
    def unknown_element(cls, path: str, name: str, message: str | None = None) -> Self:
        """Return the error of an element that nobody knows; *path* is its parent's."""
        return cls(
            ErrorType.PROTOCOL,
            ErrorTag.UNKNOWN_ELEMENT,
            message or f"the element {name} is not known here",
            path=path,
            info=(("bad-element", name),),
        )

    @classmethod
    def unknown_namespace(
        cls, path: str, name: str, namespace: str, message: str | None = None
    ) -> Self:
        """Return the error of an element in a namespace that nobody knows; *path* as above."""
        return cls(
            ErrorType.PROTOCOL,
            ErrorTag.UNKNOWN_NAMESPACE,
            message or f"the namespace {namespace!r} of {name} is not known here",
            path=path,
            info=(("bad-element", name), ("bad-namespace", namespace)),
        )

    @classmethod
    def unexpected(
        cls,
        path: str,
        element: tuple[str, str],
        expected: str,
        message: str | None = None,
        known: Collection[str] = (),
    ) -> Self:
        """
        Return the error of *element*, (namespace, name), that nobody knows below *path*.

        *expected* is the namespace of what may stand there, and *known* are the names of that;
        *message* is for one in it.
        """
        namespace, name = element
        if namespace == expected:
            text = message or f"the element {name} is not known here{meant(name, known)}"
            return cls.unknown_element(path, name, text)
        text = f"{name} is in the namespace {namespace!r}, what stands here is in {expected!r}"
        return cls.unknown_namespace(path, name, namespace, text)

    @classmethod
    def access_denied(cls, path: str, message: str = "access is denied") -> Self:
        """Return the error of RFC 8341: it says no more than that access is denied."""
        return cls(ErrorType.APPLICATION, ErrorTag.ACCESS_DENIED, message, path=path)

    @classmethod
    def lock_denied(cls, session_id: int, message: str | None = None) -> Self:
        """Return the error of a lock held by *session_id*; 0 is somebody who is no session."""
        return cls(
            ErrorType.PROTOCOL,
            ErrorTag.LOCK_DENIED,
            message or f"the lock is held by session {session_id}",
            info=(("session-id", str(session_id)),),
        )

    @classmethod
    def resource_denied(cls, message: str, *, path: str = "") -> Self:
        """Return the error of a limit that is reached."""
        return cls(ErrorType.APPLICATION, ErrorTag.RESOURCE_DENIED, message, path=path)

    @classmethod
    def data_exists(cls, path: str, message: str | None = None) -> Self:
        """Return the error of a *create* of something that exists."""
        text = message or "the data exists already"
        return cls(ErrorType.APPLICATION, ErrorTag.DATA_EXISTS, text, path=path)

    @classmethod
    def data_missing(cls, path: str, message: str | None = None) -> Self:
        """Return the error of a *delete* of something that does not exist."""
        text = message or "the data does not exist"
        return cls(ErrorType.APPLICATION, ErrorTag.DATA_MISSING, text, path=path)

    @classmethod
    def operation_not_supported(cls, message: str, *, path: str = "") -> Self:
        """Return the error of an operation that is known and not offered."""
        return cls(ErrorType.PROTOCOL, ErrorTag.OPERATION_NOT_SUPPORTED, message, path=path)

    @classmethod
    def operation_failed(cls, message: str, *, path: str = "") -> Self:
        """Return the error of all that no other tag covers; ESC's own errors come as this."""
        return cls(ErrorType.APPLICATION, ErrorTag.OPERATION_FAILED, message, path=path)

    @classmethod
    def rollback_failed(cls, message: str) -> Self:
        """Return the error of a way back that could not be gone whole."""
        return cls(ErrorType.APPLICATION, ErrorTag.ROLLBACK_FAILED, message)

    @classmethod
    def malformed_message(cls, message: str) -> Self:
        """Return the error of a message that could not be read (base:1.1 only)."""
        return cls(ErrorType.RPC, ErrorTag.MALFORMED_MESSAGE, message)


class RpcErrors(Exception):
    """Several rpc-errors for one reply (RFC 6241 section 4.3 allows it)."""

    def __init__(self, errors: Sequence[RpcError]) -> None:
        super().__init__("; ".join(str(error) for error in errors))
        self.errors: Final = tuple(errors)


def _leaf(
    parent: etree._Element,
    name: str,
    text: str,
    namespaces: Mapping[str, str] | None = None,
) -> etree._Element:
    tag = name if name.startswith("{") else qualified(BASE_NS, name)
    leaf: etree._Element = etree.SubElement(parent, tag, nsmap=dict(namespaces or {}))
    leaf.text = printable(text)
    return leaf
