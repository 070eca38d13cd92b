"""yangson as a second opinion on what the YANG allows: another parser, another XPath."""

import json
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyang
from yangson import DataModel
from yangson.enumerations import ContentType, ValidationScope
from yangson.exceptions import (
    MissingModuleNamespace,
    RawDataError,
    ValidationError,
    YangsonException,
)
from yangson.schpattern import Pair

from esc_daemon.datamodel.library import ACCESS_MODULE
from esc_daemon.datamodel.schema import Schema
from esc_daemon.datamodel.tree import MODULE, yang_directory
from esc_daemon.netconf.xml import BASE_NS
from tests.generation.specs import roots


@dataclass(frozen=True, slots=True)
class Objection:
    """Why yangson refuses a document; *path* is that of the schema, from the root."""

    path: str
    reason: str


def objection(document: bytes) -> Objection | None:
    """Return the first thing that yangson has against a configuration; None: it is valid."""
    config = ET.Element(f"{{{BASE_NS}}}config")
    config.append(ET.fromstring(document))
    for element in config.iter():
        if element.text is None:  # yangson takes the empty string for a missing value
            element.text = ""
    try:
        _model().from_xml(config).validate(ValidationScope.all, ContentType.config)
    except (RawDataError, ValidationError, MissingModuleNamespace) as error:
        return Objection(_path(error), f"{type(error).__name__}: {error}")
    return None


def _asked_once(self: Pair, ctype: ContentType) -> list[object] | None:
    """Return what yangson's own returns, which asks each side twice: 2**n for n in a row."""
    left, right = self.left._mandatory_members(ctype), self.right._mandatory_members(ctype)
    if left is None or right is None:
        return right if left is None else left
    return left + right


Pair._mandatory_members = _asked_once  # for the text of an error alone


def _path(error: YangsonException) -> str:
    if isinstance(error, ValidationError):
        return "/".join(_local(step) for step in error.instance.path if isinstance(step, str))
    names: list[str] = []
    level = roots()
    for step in error.path.split("/") if isinstance(error, RawDataError) else ():
        # between the names stand the places of entries
        name = _local(step.partition("=")[0])
        if name in level:
            names.append(name)
            level = level[name].children
    return "/".join(names)


def _local(step: str) -> str:
    return step.rpartition(":")[2]


@cache
def _model() -> DataModel:
    library = Schema.load().library()
    ours = {MODULE, ACCESS_MODULE}
    used = [each for each in library.modules if each.name in ours or not each.implemented]
    modules = [
        {
            "name": each.name,
            "revision": each.revision,
            "namespace": each.namespace,
            "conformance-type": "implement" if each.name == MODULE else "import",
            "submodule": [{"name": name, "revision": date} for name, date in each.submodules],
        }
        for each in used
    ]
    told = {"ietf-yang-library:modules-state": {"module-set-id": MODULE, "module": modules}}
    package = Path(pyang.__file__).parents
    shares = {Path(sys.prefix), *package[1:5:3]}
    places = [yang_directory(), *(share / "share/yang/modules/ietf" for share in shares)]
    return DataModel(json.dumps(told), tuple(map(str, places)))
