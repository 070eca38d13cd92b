"""
The dynamic mapping of metrics: what stands behind a name that a KPI's collector type has.

A metric is data: `Measure` says what is done and how its outcome is read, its properties what it is
done with; a KPI's own properties take the place of those of the same name. Names are compared
without case, as ESC's payloads write ``ICMPPing`` and ``ICMPPING``.

CatalogueError
 + MetricExists    the name is taken
 + MetricUnknown   there is no metric of that name
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from esc_daemon.domain.specs import VimMetric

ADDRESS: Final = "vm_ip_address"
"""The property with the address that is asked; empty: the VM's own."""

SCRIPT_FILENAME: Final = "script_filename"
"""The property with the path of a custom script."""

EVENTS_AFTER_SUCCESS: Final = "enable_events_after_success"
"""The property that, when it is true, holds back what a KPI has to tell until it first holds."""


ANSWERED: Final = 100.0
"""The value of a ping that was answered: per cent."""

EXIT_OK: Final = 0.0
"""What a custom script exits with when all is well."""


class Measure(StrEnum):
    """What is done to get a value, and so how its outcome is read (the metaData's type)."""

    ICMP_PING = "icmp_ping"
    ICMP4_PING = "icmp4_ping"
    ICMP6_PING = "icmp6_ping"
    TCP_PING = "tcp_ping"
    UDP_PING = "udp_ping"
    HTTP_PING = "http_ping"
    CUSTOM_SCRIPT = "custom_script"
    CUSTOM_SCRIPT_THRESHOLD = "custom_script_threshold"
    SNMP_GET = "snmp_get"
    SNMP_GET_THRESHOLD = "snmp_get_threshold"
    SNMP_GET_THRESHOLD_RATIO = "snmp_get_threshold_ratio"
    VIM_CPU = "vim_cpu"
    VIM_MEMORY = "vim_memory"
    VIM_NETWORK = "vim_network"


PINGS: Final = frozenset(
    {
        Measure.ICMP_PING,
        Measure.ICMP4_PING,
        Measure.ICMP6_PING,
        Measure.TCP_PING,
        Measure.UDP_PING,
        Measure.HTTP_PING,
    }
)
"""Measures that only ask whether somebody is there: 100 for an answer, no value without one."""


VIM_METRICS: Final = {
    Measure.VIM_CPU: VimMetric.CPU,
    Measure.VIM_MEMORY: VimMetric.MEMORY,
    Measure.VIM_NETWORK: VimMetric.NETWORK,
}
"""Measures that the VIM takes: nobody is asked at an address."""


@dataclass(kw_only=True, slots=True, frozen=True)
class Property:
    """One property of a metric; the value of a *hidden* one is shown to nobody."""

    name: str
    value: str = ""
    hidden: bool = False


@dataclass(kw_only=True, slots=True, frozen=True)
class Metric:
    """One entry of the dynamic mapping."""

    name: str
    measure: Measure
    properties: tuple[Property, ...] = ()


class CatalogueError(Exception):
    """Base of what the catalogue refuses; the text names the metric."""


class MetricExists(CatalogueError):
    """The name is taken, perhaps in another case."""


class MetricUnknown(CatalogueError):
    """There is no metric of that name."""


def _ping(name: str, measure: Measure, *properties: Property) -> Metric:
    return Metric(
        name=name,
        measure=measure,
        properties=(Property(name=ADDRESS), *properties),
    )


def _script(measure: Measure) -> Metric:
    properties = (Property(name=SCRIPT_FILENAME), Property(name=ADDRESS))
    return Metric(name=measure.value, measure=measure, properties=properties)


def _snmp(measure: Measure, *oids: str) -> Metric:
    agent = (Property(name=ADDRESS), Property(name="agent_port", value="161"))
    objects = tuple(Property(name=name) for name in oids)
    community = Property(name="community", hidden=True)
    return Metric(name=measure.value, measure=measure, properties=(*agent, *objects, community))


_PORT: Final = Property(name="port")
CORE: Final = (
    _ping("ICMPPing", Measure.ICMP_PING),
    _ping("icmp_ping", Measure.ICMP_PING),
    _ping("icmp4_ping", Measure.ICMP4_PING),
    _ping("icmp6_ping", Measure.ICMP6_PING),
    _ping("TCPPing", Measure.TCP_PING, _PORT),
    _ping("tcp_ping", Measure.TCP_PING, _PORT),
    _ping("UDPPing", Measure.UDP_PING, _PORT),
    _ping("udp_ping", Measure.UDP_PING, _PORT),
    _ping("HTTPPing", Measure.HTTP_PING, _PORT),
    _ping("http_ping", Measure.HTTP_PING, _PORT),
    _ping("HTTPSPing", Measure.HTTP_PING, _PORT, Property(name="scheme", value="https")),
    _ping("https_ping", Measure.HTTP_PING, _PORT, Property(name="scheme", value="https")),
    _snmp(Measure.SNMP_GET, "target_oid"),
    _snmp(Measure.SNMP_GET_THRESHOLD, "target_oid"),
    _snmp(
        Measure.SNMP_GET_THRESHOLD_RATIO,
        *("oid_current_value", "oid_total_value"),
    ),
    _script(Measure.CUSTOM_SCRIPT),
    _script(Measure.CUSTOM_SCRIPT_THRESHOLD),
    *(
        Metric(name=name, measure=measure)
        for measure, metric in VIM_METRICS.items()
        for name in (metric.value, measure.value)
    ),
)
"""
What every catalogue begins with.

Of these only ICMPPing is printed in ESC's guides; the others are the measures' own names and ours.
"""


class Catalogue:
    """The metrics that there are; an object, so that two daemons in one process have their own."""

    def __init__(self, metrics: Iterable[Metric] = CORE) -> None:
        self._metrics = {metric.name.casefold(): metric for metric in metrics}

    def __iter__(self) -> Iterator[Metric]:
        """Yield the metrics in the order in which they came."""
        return iter(tuple(self._metrics.values()))

    def get(self, name: str) -> Metric | None:
        """Return the metric *name*, in any case, or None."""
        return self._metrics.get(name.casefold())

    def add(self, metric: Metric) -> None:
        """
        Take in *metric*; KPIs that name it are measured from their next poll on.

        Raises:
            MetricExists: The name is taken.

        """
        if self.get(metric.name) is not None:
            raise MetricExists(f"there is a metric {metric.name} already; remove it first")
        self._metrics[metric.name.casefold()] = metric

    def remove(self, name: str) -> Metric:
        """
        Take the metric *name* away and return it; KPIs that name it are measured no longer.

        Raises:
            MetricUnknown: There is none.

        """
        try:
            return self._metrics.pop(name.casefold())
        except KeyError:
            raise MetricUnknown(f"there is no metric {name}") from None
