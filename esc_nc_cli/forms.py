"""The forms that data are printed in, told apart by -f; pure."""

import json
from collections.abc import Callable, Sequence
from enum import StrEnum

from lxml import etree

from esc_nc_cli.xmltree import ESC, local_name, qname

# Without the YANG a list with one entry looks like a container. These are lists wherever
# they hold something (network is also the name of a leaf).
_LISTS = frozenset(
    {
        *("tenant", "deployment", "vm_group", "vm_instance", "vm_state_machine", "interface"),
        *("network", "subnet", "image", "flavor", "volume", "kpi", "rule", "configuration"),
        *("variable", "property", "extension", "policy", "condition", "placement", "address"),
        *("static_ip_address_pool", "static_mac_address_pool", "ip_address_range"),
        *("vim_connector", "user", "host", "leftover", "rpc-error"),
    }
)
_LEAF_LISTS = frozenset({"action", "val", "security_group", "vm_group_ref"})


class Format(StrEnum):
    """How data is shown to a program; without one, as ESC's own tool shows it."""

    XML = "xml"
    JSON = "json"
    TABLE = "table"


def pretty(root: etree._Element) -> str:
    """Return *root* as XML; what a terminal would obey or not show is written as a reference."""
    text = str(etree.tostring(root, encoding="unicode", pretty_print=True)).rstrip()
    return _spelt_out(text, lambda sign: f"&#x{ord(sign):X};")


def as_json_text(content: object, *, indent: int | None = None) -> str:
    """Return *content* as JSON; what a terminal would obey or not show is escaped."""
    text = json.dumps(content, indent=indent, ensure_ascii=False)
    return _spelt_out(text, lambda sign: json.dumps(sign)[1:-1])


def _spelt_out(text: str, spelling: Callable[[str], str]) -> str:
    # Outside of values there are printable signs and these two only: the meaning stays the same.
    return "".join(
        sign if sign.isprintable() or sign in "\n\t" else spelling(sign) for sign in text
    )


def as_object(element: etree._Element) -> dict[str, object]:
    """Return what is in *element* for JSON; values stay strings, for their types are YANG's."""
    content: dict[str, object] = {}
    for below in element:
        name, value = local_name(below), _value(below)
        known = content.get(name)
        if isinstance(known, list):
            known.append(value)
        elif name in content:
            content[name] = [known, value]
        else:
            content[name] = [value] if _is_entry(below) else value
    return content


def columns(rows: Sequence[tuple[str, ...]]) -> str:
    """Return *rows*, the first of them the head, as a table."""
    widths = [max(len(field) for field in column) for column in zip(*rows, strict=True)]
    return "\n".join(row_of(row, widths) for row in rows)


def row_of(row: Sequence[str], widths: Sequence[int]) -> str:
    padded = (field.ljust(width) for field, width in zip(row, widths, strict=True))
    return "  ".join(padded).rstrip()


def _value(element: etree._Element) -> object:
    return as_object(element) if len(element) else element.text or ""


def _is_entry(element: etree._Element) -> bool:
    name = local_name(element)
    if name == "deployments":  # a container in the configuration, a list in opdata
        return element.find(qname(ESC, "deployment_name")) is not None
    return name in _LEAF_LISTS or (name in _LISTS and len(element) > 0)
