"""The index of an engine against a look at all records."""

from random import Random

from esc_daemon.domain.changed import replace
from esc_daemon.domain.ids import DeploymentName, EditId, Key, Kind, TenantName, VmGroupName
from esc_daemon.domain.intent import Deployment, VmGroup
from esc_daemon.domain.neighbours import Part
from esc_daemon.domain.record import DeploymentRecord, Record, ResourceSuccessor
from esc_daemon.domain.states import ResourceState, ServiceState
from esc_daemon.domain.uses import named_by
from esc_daemon.engine.index import Index
from tests.engine.engine_bench import a_deployment_record, a_resource, record_id
from tests.order_of_kinds import took

TENANTS = [TenantName("a"), TenantName("b")]
KEYS = [
    Key(kind, tenant, name)
    for kind in (Kind.NETWORK, Kind.SUBNET, Kind.DEPLOYMENT)
    for tenant in (*TENANTS, None)
    for name in ("one", "two")
]
EDITS = [EditId("first"), EditId("second"), None]


def a_record(random: Random, key: Key) -> Record | None:
    """Return a record that came, goes, goes with one to come after it, or none."""
    going, edit, id_ = random.random() < 0.5, random.choice(EDITS), record_id(random.randint(1, 3))
    if random.random() < 0.2:
        return None
    if key.kind is Kind.DEPLOYMENT:
        intent = None if going else Deployment(name=DeploymentName(key.name), groups=())
        service = a_deployment_record(ServiceState.ACTIVE, id=id_, intent=intent, edit=edit)
        return replace(service, key=key)
    record = a_resource(key, ResourceState.ACTIVE, id=id_, edit=edit)
    if not going:
        return record
    later = ResourceSuccessor(
        id=record_id(4), intent=record.intent, owner=None, edit=random.choice(EDITS)
    )
    return replace(record, intent=None, successor=random.choice([later, None]))


def test_the_index_knows_who_takes_part_in_an_edit_whatever_moved():
    random = Random(7)
    index, records = Index(), dict[Key, Record]()
    seen = 0
    for _ in range(500):
        key = random.choice(KEYS)
        before, record = records.pop(key, None), a_record(random, key)
        index.move(key, before, record)
        if record is not None:
            records[key] = record
        for edit in EDITS[:-1]:
            for going in (True, False):
                for tenant in (*TENANTS, None):
                    found = index.took(Part(edit, going=going), tenant)
                    assert sorted(found, key=str) == sorted(
                        took(records, Part(edit, going=going), tenant), key=str
                    )
                    seen += len(found)
    assert seen

    for key, record in records.items():
        index.move(key, record, None)
    assert (index.tenants, index.edits, index.vms) == ({}, {}, {})


def test_the_index_knows_who_names_what_whatever_moved():
    random = Random(7)
    index, records = Index(), dict[Key, Record]()
    keys = [key for key in KEYS if key.kind is Kind.DEPLOYMENT]
    named = [Key(Kind.IMAGE, None, name) for name in ("linux", "bsd")]
    seen = 0
    for _ in range(300):
        key = random.choice(keys)
        before, record = records.pop(key, None), a_record(random, key)
        if isinstance(record, DeploymentRecord) and record.intent is not None:
            images = random.sample(["linux", "bsd", None], random.randint(0, 2))
            groups = tuple(
                VmGroup(name=VmGroupName(str(at)), image=each) for at, each in enumerate(images)
            )
            record = replace(record, intent=replace(record.intent, groups=groups))
        index.move(key, before, record)
        if record is not None:
            records[key] = record
        for image in named:
            users = {at for at, each in records.items() if image in set(named_by(each))}
            assert set(index.users(image)) == users
            seen += len(users)
    assert seen > 100
