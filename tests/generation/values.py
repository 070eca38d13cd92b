"""
Values of the types of the YANG: right ones, wrong ones, and other spellings of the right ones.

Randomness is a `random.Random`: in a property hypothesis hands in its own, which it can shrink;
elsewhere a seed does.
"""

from collections.abc import Callable, Mapping
from random import Random
from socket import AF_INET6, inet_ntop, inet_pton

from tests.generation.specs import Spec, Type

Draw = Callable[[Random, Spec], str]
"""Gives a value for a leaf."""

LETTERS = "aZ09é中😀'\"<>&]-_:/.$*"
INNER_LETTERS = LETTERS + " \t\n"
HEX = "0123456789abcdefABCDEF"


def one_in(rng: Random, number: int) -> bool:
    """Tell whether a lot of one in *number* is drawn; hypothesis likes `Random.random` near 0."""
    return rng.randrange(number) == number - 1


def _text(rng: Random, shortest: int, longest: int, letters: str = INNER_LETTERS) -> str:
    """Return a text of a few letters, which are said again in a long one."""
    length = rng.choice((shortest, shortest + 1, shortest + 4, longest))
    some = "".join(rng.choice(letters) for _ in range(min(length, 5)))
    return (some * (1 + length // 5))[: min(length, longest)]


def _trimmed(rng: Random, longest: int) -> str:
    """Return a text that neither begins nor ends with white space."""
    inner = _text(rng, 0, longest - 2, LETTERS + " ")
    return rng.choice(LETTERS) + (inner + rng.choice(LETTERS) if inner else "")


def _ipv4(rng: Random) -> str:
    return ".".join(str(rng.choice((0, 10, 99, 255))) for _ in range(4))


def _ipv6(rng: Random) -> str:
    groups = (f"{rng.choice((0, 0, 1, 0xDB8, 0xFFFF)):x}" for _ in range(8))
    return ipv6(":".join(groups))


def _mac(rng: Random) -> str:
    return ":".join(f"{rng.randint(0, 255):02x}" for _ in range(6))


PATTERNED: Mapping[str, tuple[Callable[[Random, int], str], tuple[str, ...], tuple[str, ...]]] = {
    "name": (_trimmed, ("a", "b", "c"), (" a", "a ", "\ta", "a\n", "")),
    "network-name": (_trimmed, ("n", "m", "k"), (" a", "a ", "")),
    "ratio": (
        lambda rng, _: f"{rng.randint(0, 99)}:{rng.randint(1, 9)}",
        ("1:2", "3:1"),
        ("1", ":"),
    ),
    "decimal-text": (lambda rng, _: f"{rng.randint(-9, 9)}.5", ("0", "1.5"), ("1.", ".5", "+1")),
    "vim-type": (
        lambda rng, _: rng.choice("AZ") + _text(rng, 0, 63, "AZ09_"),
        ("SIMULATOR", "CSP", "OPENSTACK"),
        ("", "csp", "_A", "A-B", "A" * 65),
    ),
    "mac-address": (
        lambda rng, _: _mac(rng),
        ("00:00:00:00:00:01", "00:00:00:00:00:0a", "00:00:00:00:00:0b"),
        ("00:00:00:00:00", "00-00-00-00-00-01", "0:0:0:0:0:1", "00:00:00:00:00:0g"),
    ),
    "ipv4-address-no-zone": (
        lambda rng, _: _ipv4(rng),
        ("10.0.0.1", "10.0.0.2", "10.0.0.9"),
        ("10.0.0", "10.0.0.256", "10.0.0.1%1", "10.0.0.01", "10.0.0.1.1"),
    ),
    "ipv6-address-no-zone": (
        lambda rng, _: _ipv6(rng),
        ("2001:db8::1", "2001:db8::a"),
        ("2001:db8", "2001:db8::1::1", "::1%eth0", "::g", "1:2:3:4:5:6:7:8:9"),
    ),
}
"""By the name of a type with a pattern: (values, a few of them, what is none)."""

FEW_AT: Mapping[str, tuple[str, ...]] = {
    "rule/action": ("TRUE a.sh", "FALSE b.sh", "ALWAYS c"),
    "kpi/metric_value": ("0", "1", "7"),
    "configuration/file": ("/a", "file:///b", "http://h/c"),
    "subnet/netmask": ("255.0.0.0", "255.255.0.0"),
    "subnet/address": ("10.0.0.0", "10.1.0.0"),
    "subnet/gateway": ("10.0.0.1", "10.0.0.2"),
    "subnet/ipversion": ("ipv4",),
    "file_server/base_url": ("http://192.0.2.1", "https://h:8/x", "file:///d"),
    "ip_address_range/start": ("10.0.0.1", "10.0.0.2"),
    "ip_address_range/end": ("10.0.0.8", "10.0.0.9"),
    "mac_address_range/start": ("00:00:00:00:00:01", "00:00:00:00:00:02"),
    "mac_address_range/end": ("00:00:00:00:00:08", "00:00:00:00:00:09"),
}
"""Where the daemon asks for more than the YANG says."""


def patterned(type_: Type) -> tuple[Callable[[Random, int], str], tuple[str, ...], tuple[str, ...]]:
    assert type_.name in PATTERNED, f"teach tests/generation/values.py the pattern of {type_.name}"
    return PATTERNED[type_.name]


def any_value(rng: Random, spec: Spec) -> str:
    """Return any value that the leaf's type allows, in the canonical form."""
    assert spec.type is not None
    return _any(rng, spec.type)


def _any(rng: Random, type_: Type) -> str:
    match type_.base:
        case "boolean":
            return rng.choice(("false", "true"))
        case "enumeration":
            return rng.choice(type_.enums)
        case "union" | "leafref":
            return _any(rng, rng.choice(type_.members))
        case "string" if type_.patterned:
            make, _, _ = patterned(type_)
            return make(rng, type_.ranges[-1][1] if type_.ranges else 64)
        case "string":
            low, high = rng.choice(type_.ranges or ((0, 64),))
            return _text(rng, low, high)
        case base:
            assert "int" in base, f"teach tests/generation/values.py the type {base}"
            low, high = rng.choice(type_.ranges)
            return str(rng.choice((low, high, rng.randint(low, min(high, low + 20)))))


def few_values(rng: Random, spec: Spec) -> str:
    """Return one of some values that the daemon takes: equal ones are to meet."""
    return rng.choice(few(spec))


def few(spec: Spec) -> tuple[str, ...]:
    assert spec.type is not None
    at = "/".join(spec.path.split("/")[-2:])
    return FEW_AT.get(at) or _few(spec.type)


def _few(type_: Type) -> tuple[str, ...]:
    match type_.base:
        case "boolean":
            return "false", "true"
        case "enumeration":
            return type_.enums[:3]
        case "union" | "leafref":
            return tuple(word for member in type_.members for word in _few(member)[:2])
        case "string" if type_.patterned:
            return patterned(type_)[1]
        case "string":
            return "a", "b", "c"
        case _:
            low, high = type_.ranges[0]
            # not more: the groups of a deployment may have 500 VMs together
            return tuple(str(min(high, low + each)) for each in (0, 1, 150))


def wrong_value(rng: Random, spec: Spec) -> str | None:
    """Return what the leaf's type does not allow; None where it allows any text."""
    assert spec.type is not None
    found = _wrong(spec.type)
    return rng.choice(found) if found else None


def _wrong(type_: Type) -> tuple[str, ...]:
    match type_.base:
        case "boolean":
            return "TRUE", "1", "", "yes"
        case "enumeration":
            return "", f"{type_.enums[0]}x", type_.enums[0].swapcase()
        case "union":
            return tuple(word for member in type_.members for word in _wrong(member))
        case "leafref":
            return _wrong(type_.members[0])
        case "string":
            wrong = patterned(type_)[2] if type_.patterned else ()
            low = type_.ranges[0][0] if type_.ranges else 0
            high = type_.ranges[-1][1] if type_.ranges else 0
            return (
                *wrong,
                *(("x" * (low - 1),) if low else ()),
                *(("x" * (high + 1),) if high else ()),
            )
        case _:
            low, high = type_.ranges[0][0], type_.ranges[-1][1]
            return str(low - 1), str(high + 1), "", "1.0", "x", "0x1", "1e1"


# --- spellings: RFC 7950 section 9.1 ----------------------------------------------------------


def other_spelling(rng: Random, type_: Type, value: str) -> str:
    """Return *value*, which is canonical, as somebody else may write it."""
    if "int" in type_.base:
        sign, digits = ("-", value[1:]) if value[0] == "-" else (rng.choice(("", "+")), value)
        return sign + "0" * rng.randint(0, 2) + digits
    if type_.name == "mac-address":
        return value.upper()
    if type_.base == "leafref":
        return other_spelling(rng, type_.members[0], value)
    if type_.base == "union" and ":" in value:
        whole = inet_pton(AF_INET6, value).hex().upper()
        return ":".join(whole[at : at + 4] for at in range(0, 32, 4))
    return value


def ipv6(text: str) -> str:
    """Return the canonical form of RFC 5952 section 4."""
    return inet_ntop(AF_INET6, inet_pton(AF_INET6, text))
