"""
What goes wrong in a simulated cloud, by rules from a file or from code.

A rule meets a call when its verb and its pattern fit. Rules are tried in order: latencies add
up, the first other rule that strikes decides. Faults of what stands in the cloud (it builds
slowly, falls silent, goes off, vanishes) are drawn when it is made or boots. The same seed and
the same calls give the same faults.

FaultError         a rule that cannot be used; names the field
 + FaultFileError  a file of rules that cannot be used; names file, rule and field
"""

import json
import random
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct, ValidationError, convert
from msgspec.json import encode

from esc_daemon.domain.specs import VimMetric

MAX_RULES: Final = 200
"""Rules in force at a time: each call looks at all of them."""
_YEAR: Final = 31_536_000.0


class FaultError(ValueError):
    """The text names the field."""


class FaultFileError(FaultError):
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
    UPLOAD_IMAGE = "upload_image"
    REMOVE_IMAGE = "remove_image"
    ENSURE_FLAVOR = "ensure_flavor"
    REMOVE_FLAVOR = "remove_flavor"
    ENSURE_PORT = "ensure_port"
    REMOVE_PORTS = "remove_ports"
    ENSURE_VOLUME = "ensure_volume"
    REMOVE_VOLUME = "remove_volume"
    CHECK_SERVER = "check_server"
    ENSURE_SERVER = "ensure_server"
    FIND_SERVER = "find_server"
    REMOVE_SERVER = "remove_server"
    ATTACH_PORT = "attach_port"
    DETACH_PORT = "detach_port"
    ATTACH_VOLUME = "attach_volume"
    DETACH_VOLUME = "detach_volume"
    EXCHANGE_ROOT = "exchange_root"
    RESIZE_SERVER = "resize_server"
    SET_POWER = "set_power"
    SERVERS = "servers"
    BUILD = "build"
    BOOT = "boot"
    MEASURE = "measure"


class Fault(StrEnum):
    """What happens to the call, to the build or the boot, or to what was made."""

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
    SLOW = "slow"
    """Of a build: it takes longer."""
    SILENT = "silent"
    """Of a boot: the guest does not answer, from its boot on or later, for a while or for good."""
    POWER_OFF = "power_off"
    """Of a boot: the server goes off by itself later."""
    VANISH = "vanish"
    """What was made is gone later, behind everybody's back."""
    LOAD = "load"
    """Of a server that is measured: its load is this one."""


_STEPS: Final = {
    Fault.ERROR: Verb.BUILD,
    Fault.SLOW: Verb.BUILD,
    Fault.SILENT: Verb.BOOT,
    Fault.POWER_OFF: Verb.BOOT,
    Fault.LOAD: Verb.MEASURE,
}
MAKERS: Final = (
    Verb.ENSURE_TENANT,
    Verb.ENSURE_NETWORK,
    Verb.ENSURE_SUBNET,
    Verb.ENSURE_PORT,
    Verb.ENSURE_VOLUME,
    Verb.ENSURE_SERVER,
)
"""The calls whose work may vanish."""
_NEED_SECONDS: Final = (Fault.LATENCY, Fault.SLOW)
_MAY_HAVE_SECONDS: Final = (*_NEED_SECONDS, Fault.SILENT, Fault.POWER_OFF, Fault.VANISH)

Duration = Annotated[float, Meta(ge=0, le=_YEAR)]


_COUNTED: Final = {"skip": 0, "count": None, "probability": 1.0}
"""Fields that count or draw, as they are where they do not: a load is looked at, not met."""


class Rule(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """
    One rule; durations in seconds.

    *match* is a shell pattern over the server's or resource's name, or the VM's id. The first
    *skip* calls that fit pass, then it strikes with *probability* until it struck *count*
    times (None: without end), and only from *begin* to *end* after it came into force.
    *seconds* is the length of a latency, what a slow build takes more, or the time until a
    guest falls silent, a server goes off (from its boot) or something vanishes (since it was
    made). A silent guest answers again after *lasts* (None: at its next boot). A hang takes
    effect if *takes_effect*. *verb* need not be said for faults of builds and boots; of what
    vanishes it is the call that made it. A load is the *value* of *metric* in its unit (None: cpu).
    """

    fault: Fault
    verb: Verb = Verb.ANY
    match: Annotated[str, Meta(max_length=255)] = "*"
    skip: Annotated[int, Meta(ge=0)] = 0
    count: Annotated[int, Meta(ge=0)] | None = None
    probability: Annotated[float, Meta(ge=0, le=1)] = 1.0
    seconds: Duration = 0.0
    lasts: Annotated[float, Meta(gt=0, le=_YEAR)] | None = None
    begin: Duration = 0.0
    end: Duration | None = None
    takes_effect: bool = False
    text: Annotated[str, Meta(max_length=1000)] = ""
    metric: VimMetric | None = None
    value: Annotated[float, Meta(ge=0, le=1e15)] | None = None

    def __post_init__(self) -> None:
        """Hold the fields against each other; msgspec tells the file's reader."""
        self._check_verb()
        if self.fault in _NEED_SECONDS and not self.seconds:
            raise ValueError(f"`seconds` of a fault {self.fault} must be more than 0")
        if self.seconds and self.fault not in _MAY_HAVE_SECONDS:
            raise ValueError(f"`seconds` has no meaning for a fault {self.fault}")
        if self.lasts is not None and self.fault is not Fault.SILENT:
            raise ValueError(f"`lasts` belongs to a fault {Fault.SILENT}")
        if self.end is not None and self.end <= self.begin:
            raise ValueError("`end` must be later than `begin`")
        if self.takes_effect and self.fault is not Fault.HANG:
            raise ValueError(f"`takes_effect` belongs to a fault {Fault.HANG}")
        self._check_load()

    def _check_load(self) -> None:
        if self.fault is not Fault.LOAD:
            for name in ("metric", "value"):
                if getattr(self, name) is not None:
                    raise ValueError(f"`{name}` belongs to a fault {Fault.LOAD}")
            return
        if self.value is None:
            raise ValueError(f"`value` of a fault {Fault.LOAD} is needed")
        for name, without in _COUNTED.items():
            if getattr(self, name) != without:
                raise ValueError(f"`{name}` has no meaning for a fault {Fault.LOAD}")

    def _check_verb(self) -> None:
        step = _STEPS.get(self.fault)
        if step is not None and self.verb not in (Verb.ANY, step):
            raise ValueError(f"`verb` of a fault {self.fault} can only be {step}")
        if self.fault is Fault.VANISH and self.verb not in (Verb.ANY, *MAKERS):
            raise ValueError(f"`verb` of a fault {self.fault} can only be {', '.join(MAKERS)}")
        if step is None and self.verb in _STEPS.values():
            raise ValueError(f"`fault` {self.fault} cannot befall a {self.verb}")

    @property
    def is_of_calls(self) -> bool:
        """Whether it befalls calls, and not what they make."""
        return self.fault not in _STEPS and self.fault is not Fault.VANISH

    def meets(self, verb: Verb, names: Sequence[str]) -> bool:
        """Return whether the rule is about a *verb* of something with one of these names."""
        if self.verb not in (Verb.ANY, verb):
            return False
        return self.match == "*" or any(fnmatchcase(name, self.match) for name in names)


@dataclass(kw_only=True, slots=True, frozen=True)
class Verdict:
    """What befalls one call: a delay in seconds, and perhaps a rule that strikes."""

    delay: float = 0.0
    rule: Rule | None = None


NOTHING: Final = Verdict()


@dataclass(kw_only=True, slots=True, frozen=True)
class Standing:
    """A rule in force: the *number* it has while it stands, and how often it was met and struck."""

    number: int
    rule: Rule
    met: int
    struck: int


class _Entry:
    """*digest* tells equal rules apart; *since* is when the rule was in force first (seconds)."""

    __slots__ = ("digest", "number", "rule", "since")

    def __init__(self, number: int, rule: Rule, digest: str) -> None:
        self.number = number
        self.rule = rule
        self.digest = digest
        self.since: float | None = None


class Faults:
    """The rules in force and how often each was met."""

    def __init__(self, rules: Sequence[Rule] = (), *, seed: int = 0) -> None:
        self._seed = seed
        self._entries: list[_Entry] = []
        self._last_number = 0
        self.counts: dict[str, tuple[int, int]] = {}
        """How often a rule was met and how often it struck, by the rule's digest."""
        self.replace(rules)

    def __bool__(self) -> bool:
        return bool(self._entries)

    def replace(self, rules: Sequence[Rule]) -> None:
        """
        Put *rules* in force; a rule that stays as it was keeps its number and its count.

        Raises:
            ValueError: They are more than MAX_RULES.

        """
        if len(rules) > MAX_RULES:
            raise ValueError(f"{len(rules)} rules are too many: {MAX_RULES} can be in force")
        seen: dict[bytes, int] = {}
        old = {entry.digest: entry for entry in self._entries}
        self._entries = []
        for rule in rules:
            text = encode(rule)
            nth = seen[text] = seen.get(text, 0) + 1
            digest = sha256(b"%d %b" % (nth, text)).hexdigest()[:16]
            self._entries.append(old[digest] if digest in old else self._entry(rule, digest))

    def _entry(self, rule: Rule, digest: str) -> _Entry:
        self._last_number += 1
        return _Entry(self._last_number, rule, digest)

    def add(self, rule: Rule) -> int:
        """Put one more rule in force, as the last; return its number. ValueError: too many."""
        before = {entry.number for entry in self._entries}
        self.replace([*(entry.rule for entry in self._entries), rule])
        return next(each.number for each in self._entries if each.number not in before)

    def drop(self, number: int) -> bool:
        """Take the rule with *number* out of force and forget its count; False: there is none."""
        for entry in self._entries:
            if entry.number == number:
                self._entries.remove(entry)
                self.counts.pop(entry.digest, None)
                return True
        return False

    def standing(self) -> list[Standing]:
        """Return the rules in force, in the order in which they are tried."""
        return [
            Standing(number=entry.number, rule=entry.rule, met=met, struck=struck)
            for entry in self._entries
            for met, struck in (self.counts.get(entry.digest, (0, 0)),)
        ]

    def judge(self, verb: Verb, names: Sequence[str], now: float) -> Verdict:
        """Return what befalls this call at *now* (seconds); counts it."""
        delay = 0.0
        for entry in self._entries:
            rule = entry.rule
            if not rule.is_of_calls or not self._strikes(entry, verb, names, now):
                continue
            if rule.fault is not Fault.LATENCY:
                return Verdict(delay=delay, rule=rule)
            delay += rule.seconds
        return Verdict(delay=delay) if delay else NOTHING

    def draw(self, fault: Fault, verb: Verb, names: Sequence[str], now: float) -> Rule | None:
        """Return the rule by which *fault* befalls what a *verb* makes at *now*; counts it."""
        for entry in self._entries:
            if entry.rule.fault is fault and self._strikes(entry, verb, names, now):
                return entry.rule
        return None

    def load(self, metric: VimMetric, names: Sequence[str], now: float) -> float | None:
        """Return the load that a rule gives a server at *now*; None: none does. Counts nothing."""
        for entry in self._entries:
            rule = entry.rule
            if rule.fault is not Fault.LOAD or (rule.metric or VimMetric.CPU) is not metric:
                continue
            if _in_force(entry, now) and rule.meets(Verb.MEASURE, names):
                return rule.value
        return None

    def _strikes(self, entry: _Entry, verb: Verb, names: Sequence[str], now: float) -> bool:
        rule, digest = entry.rule, entry.digest
        if not _in_force(entry, now) or not rule.meets(verb, names):
            return False
        met, struck = self.counts.get(digest, (0, 0))
        chance = random.Random(f"{self._seed} {digest} {met}").random()  # noqa: S311 - no secret
        strikes = (
            met >= rule.skip
            and (rule.count is None or struck < rule.count)
            and chance < rule.probability
        )
        self.counts[digest] = met + 1, struck + strikes
        return strikes


def _in_force(entry: _Entry, now: float) -> bool:
    if entry.since is None:
        entry.since = now
    passed = max(now - entry.since, 0.0)  # a boot is judged by the moment of its end
    return entry.rule.begin <= passed and (entry.rule.end is None or passed < entry.rule.end)


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
    if len(tables) > MAX_RULES:
        raise FaultFileError(f"{path}: field rule: {len(tables)} rules, the limit is {MAX_RULES}")
    return tuple(_rule(path, number, table) for number, table in enumerate(tables, 1))


def _rule(path: Path, number: int, table: object) -> Rule:
    try:
        return rule_of(table)
    except FaultError as error:
        raise FaultFileError(f"{path}: rule {number}: {error}") from error


def rule_of(table: object) -> Rule:
    """Return the rule with these fields; FaultError names the one that is wrong."""
    try:
        return convert(table, Rule)
    except ValidationError as error:
        text, _, place = str(error).partition(" - at `$")
        field = place.strip(".`") or next(iter(re.findall(r"`(\w+)`", text)), "")
        if field in _WORDS and text.startswith("Invalid enum"):
            text += f"; it must be one of {', '.join(_WORDS[field])}"
        raise FaultError(f"field {field}: {text}") from error


_WORDS: Final[Mapping[str, type[StrEnum]]] = {"fault": Fault, "verb": Verb, "metric": VimMetric}
