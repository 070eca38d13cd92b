"""
What goes wrong in a simulated cloud, by rules from a file or from code.

A rule meets a call when its verb and its pattern fit. Rules are tried in order: latencies add
up, the first other rule that strikes decides. The same seed and the same calls give the same
faults.

FaultFileError    a file of rules that cannot be used; names file, rule and field
"""

import json
import random
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct, ValidationError, convert, structs


class FaultFileError(ValueError):
    """The text names the file, the rule and the field."""


class Verb(StrEnum):
    """What a rule can meet: the verbs of the VIM port, and the steps of a server's life."""

    ANY = "*"
    CHECK = "check"
    ENSURE_TENANT = "ensure_tenant"
    REMOVE_TENANT = "remove_tenant"
    ENSURE_NETWORK = "ensure_network"
    REMOVE_NETWORK = "remove_network"
    ENSURE_SUBNET = "ensure_subnet"
    REMOVE_SUBNET = "remove_subnet"
    ENSURE_IMAGE = "ensure_image"
    REMOVE_IMAGE = "remove_image"
    ENSURE_FLAVOR = "ensure_flavor"
    REMOVE_FLAVOR = "remove_flavor"
    ENSURE_PORT = "ensure_port"
    REMOVE_PORTS = "remove_ports"
    ENSURE_SERVER = "ensure_server"
    FIND_SERVER = "find_server"
    REMOVE_SERVER = "remove_server"
    SET_POWER = "set_power"
    SERVERS = "servers"
    BUILD = "build"
    BOOT = "boot"


class Fault(StrEnum):
    """What happens to the call, the build or the boot."""

    LATENCY = "latency"
    REFUSE = "refuse"
    QUOTA = "quota"
    UNREACHABLE = "unreachable"
    UNKNOWN_BEFORE = "unknown_before"
    """It does not take effect and the caller is not told."""
    UNKNOWN_AFTER = "unknown_after"
    """It takes effect and the answer is lost."""
    HANG = "hang"
    """It is never answered."""
    ERROR = "error"
    """Of a build: the server ends in ERROR."""
    SILENT = "silent"
    """Of a boot: the guest never answers."""


_STEPS: Final = {Fault.ERROR: Verb.BUILD, Fault.SILENT: Verb.BOOT}


class Rule(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """
    One rule.

    *match* is a shell pattern over the server's or resource's name, or the VM's id. The first
    *skip* calls that fit pass, then it strikes with *probability* until it struck *count*
    times (None: without end). *seconds* is the length of a latency. A hang takes effect if
    *takes_effect*. *verb* need not be said for build errors and silent boots.
    """

    fault: Fault
    verb: Verb = Verb.ANY
    match: str = "*"
    skip: Annotated[int, Meta(ge=0)] = 0
    count: Annotated[int, Meta(ge=0)] | None = None
    probability: Annotated[float, Meta(ge=0, le=1)] = 1.0
    seconds: Annotated[float, Meta(ge=0)] = 0.0
    takes_effect: bool = False
    text: str = ""

    def __post_init__(self) -> None:
        """Hold fault and verb against each other; msgspec tells the file's reader."""
        step = _STEPS.get(self.fault)
        if step is not None and self.verb not in (Verb.ANY, step):
            raise ValueError(f"`verb` of a fault {self.fault} can only be {step}")
        if step is None and self.verb in _STEPS.values():
            raise ValueError(f"`fault` {self.fault} cannot befall a {self.verb}")
        if (self.fault is Fault.LATENCY) != (self.seconds > 0):
            raise ValueError("`seconds` belongs to a latency, and is more than 0 there")

    def meets(self, verb: Verb, names: Sequence[str]) -> bool:
        """Return whether the rule is about a *verb* of something with one of these names."""
        if _STEPS.get(self.fault, self.verb) is not verb and (
            self.verb is not Verb.ANY or self.fault in _STEPS or verb in _STEPS.values()
        ):
            return False
        return self.match == "*" or any(fnmatchcase(name, self.match) for name in names)


@dataclass(kw_only=True, slots=True, frozen=True)
class Verdict:
    """What befalls one call: a delay in seconds, and perhaps a rule that strikes."""

    delay: float = 0.0
    rule: Rule | None = None


NOTHING: Final = Verdict()


class Faults:
    """The rules in force and how often each was met."""

    def __init__(self, rules: Sequence[Rule] = (), *, seed: int = 0) -> None:
        self._seed = seed
        self._rules: list[tuple[str, Rule]] = []
        self.counts: dict[str, tuple[int, int]] = {}
        """How often a rule was met and how often it struck, by the rule's digest."""
        self.replace(rules)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def replace(self, rules: Sequence[Rule]) -> None:
        """Put *rules* in force; a rule that stays as it was keeps its count."""
        seen: dict[str, int] = {}
        self._rules = []
        for rule in rules:
            text = json.dumps(structs.asdict(rule), sort_keys=True)
            nth = seen[text] = seen.get(text, 0) + 1
            digest = sha256(f"{nth} {text}".encode()).hexdigest()[:16]
            self._rules.append((digest, rule))

    def judge(self, verb: Verb, names: Sequence[str]) -> Verdict:
        """Return what befalls this call; counts it."""
        delay = 0.0
        for digest, rule in self._rules:
            if not rule.meets(verb, names) or not self._strikes(digest, rule):
                continue
            if rule.fault is not Fault.LATENCY:
                return Verdict(delay=delay, rule=rule)
            delay += rule.seconds
        return Verdict(delay=delay) if delay else NOTHING

    def _strikes(self, digest: str, rule: Rule) -> bool:
        met, struck = self.counts.get(digest, (0, 0))
        chance = random.Random(f"{self._seed} {digest} {met}").random()  # noqa: S311 - no secret
        strikes = (
            met >= rule.skip
            and (rule.count is None or struck < rule.count)
            and chance < rule.probability
        )
        self.counts[digest] = met + 1, struck + strikes
        return strikes


def load_rules(path: Path) -> tuple[Rule, ...]:
    """
    Return the rules of a file: TOML with ``[[rule]]`` tables, or JSON ``{"rule": [...]}``.

    Raises:
        FaultFileError: It cannot be read or a rule in it is wrong.

    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise FaultFileError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise FaultFileError(f"{path}: {error}") from error
    if not isinstance(content, dict) or set(content) - {"rule"}:
        raise FaultFileError(f"{path}: field rule: this list is all that may stand here")
    tables = content.get("rule", [])
    if not isinstance(tables, list):
        raise FaultFileError(f"{path}: field rule: must be a list of rules")
    return tuple(_rule(path, number, table) for number, table in enumerate(tables, 1))


def _rule(path: Path, number: int, table: object) -> Rule:
    try:
        return convert(table, Rule)
    except ValidationError as error:
        text, _, place = str(error).partition(" - at `$")
        field = place.strip(".`") or next(iter(re.findall(r"`(\w+)`", text)), "")
        raise FaultFileError(f"{path}: rule {number}: field {field}: {text}") from error
