"""The KPIs that ESC's guides print: true for a host that answers, false for one that does not."""

from pathlib import Path

from lxml import etree

from esc_daemon.domain.intent import Collector, Condition, Kpi
from esc_daemon.domain.kpi import FRESH, compare, observe, unreadable
from esc_daemon.monitor.catalogue import ANSWERED, Catalogue, Measure
from esc_daemon.netconf.xml import name_of, parse
from tests.acceptance.guides import each


def printed(element: etree._Element) -> Kpi:
    leaves = {name_of(leaf)[1]: (leaf.text or "").strip() for leaf in element.iter()}
    return Kpi(
        event_name=leaves["event_name"],
        threshold=leaves["metric_value"],
        condition=Condition(leaves["metric_cond"]),
        metric_type=leaves["metric_type"],
        collector=Collector(type=leaves["type"]),
    )


@each("config", lambda text: "<metric_collector>" in text)
def test_a_printed_kpi_is_true_for_an_answer_and_false_for_silence(path: Path) -> None:
    # given
    document = parse(path.read_bytes())
    kpis = [printed(each) for each in document.iter() if name_of(each)[1] == "kpi"]
    assert kpis
    for kpi in kpis:
        # when, then
        metric = Catalogue().get(kpi.collector.type)
        assert metric is not None
        assert metric.measure is Measure.ICMP_PING
        assert unreadable(kpi) == ""
        assert compare(kpi, ANSWERED)
        _, crossing = observe(FRESH, kpi, None)
        assert crossing is not None
        assert not crossing.holds
