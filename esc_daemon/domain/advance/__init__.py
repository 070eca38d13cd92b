"""
`advance`: what happened moves a record (DESIGN, law 3). Pure; time is a parameter.

One topic a file: `deployment` takes a deployment's triggers to `deploy` and `undeploy`,
`resource` moves tenants, networks, subnets, images and flavors, `connector` VIM connectors.
"""

from datetime import datetime

from esc_daemon.domain.advance.connector import advance_connector, advance_default
from esc_daemon.domain.advance.deployment import advance_deployment
from esc_daemon.domain.advance.resource import advance_resource
from esc_daemon.domain.advance.resource_intent import advance_file_server
from esc_daemon.domain.ids import Key, Kind
from esc_daemon.domain.policy import DEFAULT_POLICY, Policy
from esc_daemon.domain.record import (
    ConnectorRecord,
    DefaultConnectorRecord,
    DeploymentRecord,
    Record,
    ResourceRecord,
)
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import NeighbourTrigger, Trigger

__all__ = ["advance"]


def advance(
    key: Key,
    record: Record | None,
    trigger: Trigger,
    now: datetime,
    policy: Policy = DEFAULT_POLICY,
) -> Step:
    """
    Return the step that *trigger* means for the record of *key* (None: there is none).

    Raises:
        Refused: A northbound trigger that cannot be taken now; nothing changed.

    """
    if isinstance(trigger, NeighbourTrigger) and record is not None and record.id != trigger.waiter:
        return Step(key=key, before=record, record=record)  # the incarnation that waited has ended
    if key.kind is Kind.DEPLOYMENT:
        assert record is None or isinstance(record, DeploymentRecord)
        return advance_deployment(key, record, trigger, now, policy)
    if key.kind is Kind.VIM_CONNECTOR:
        assert record is None or isinstance(record, ConnectorRecord)
        return advance_connector(key, record, trigger, now, policy)
    if key.kind is Kind.DEFAULT_VIM_CONNECTOR:
        assert record is None or isinstance(record, DefaultConnectorRecord)
        return advance_default(key, record, trigger)
    assert record is None or isinstance(record, ResourceRecord)
    if key.kind is Kind.FILE_SERVER:
        return advance_file_server(key, record, trigger)
    return advance_resource(key, record, trigger, now, policy)
