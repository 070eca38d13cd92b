"""What many groups say in the same words is read once."""

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.domain.intent import Deployment, VmGroup
from tests.datamodel.documents import GROUP, config, service


def group(datastore: Datastore, body: str) -> VmGroup:
    intent = datastore.edit(config(service(body))).intents[-1][1]
    assert isinstance(intent, Deployment)
    return intent.groups[0]


def test_groups_that_say_the_same_of_their_kpis_share_what_they_mean(datastore: Datastore) -> None:
    other = GROUP.replace("<poll_frequency>3<", "<poll_frequency>4<")

    first, second, third = (group(datastore, body) for body in (GROUP, GROUP, other))

    assert first.kpis is second.kpis
    assert first.rules is second.rules is third.rules
    assert [each.kpis[0].collector.poll_seconds for each in (first, third)] == [3, 4]


def test_no_more_texts_are_remembered_than_a_few_templates_have(datastore: Datastore) -> None:
    first = group(datastore, GROUP).kpis
    for metric in range(300):
        group(datastore, GROUP.replace("<metric_value>1<", f"<metric_value>1{metric}<"))

    again = group(datastore, GROUP).kpis

    assert again == first
    assert again is not first
