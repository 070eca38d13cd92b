"""
Edits of the real data model: taken whole or refused whole, by running and by the candidate alike.

Half of the inputs are text inside a config, half steer the generator of edits.
"""

from functools import cache

from lxml import etree

from esc_daemon.datamodel.candidate import Candidate
from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.entries import Entry
from esc_daemon.datamodel.schema import Schema
from esc_daemon.netconf.edit import DefaultOperation
from esc_daemon.netconf.errors import RpcError, RpcErrors
from esc_daemon.netconf.xml import BASE_NS, YANG_NS, MalformedMessage, parse
from esc_daemon.vault import Vault
from tests.fuzz.choices import Choices
from tests.generation.edits import any_edit
from tests.generation.naive_edit import as_edit
from tests.generation.specs import roots

ESC = "http://www.cisco.com/esc/esc"
TOPS = sorted(roots())
GROUP = (
    "<vm_group><name>g</name><bootup_time>60</bootup_time><image>i</image><flavor>f</flavor>"
    "<interfaces><interface><nicid>0</nicid><network>n</network></interface></interfaces>"
    "<kpi_data><kpi><event_name>VM_ALIVE</event_name><metric_value>1</metric_value>"
    "<metric_cond>GT</metric_cond><metric_type>UINT32</metric_type><metric_collector>"
    "<type>ICMPPing</type><nicid>0</nicid><poll_frequency>3</poll_frequency>"
    "<polling_unit>seconds</polling_unit></metric_collector></kpi></kpi_data>"
    "<rules><admin_rules><rule><event_name>VM_ALIVE</event_name>"
    "<action>TRUE servicebooted.sh</action></rule></admin_rules></rules>"
    "<scaling><min_active>1</min_active><max_active>2</max_active></scaling></vm_group>"
)


def _tenants(body: str) -> str:
    return f'<esc_datamodel xmlns="{ESC}"><tenants>{body}</tenants></esc_datamodel>'


def _tenant(body: str, name: str = "t") -> str:
    return _tenants(f"<tenant><name>{name}</name>{body}</tenant>")


def _deployment(body: str, attributes: str = "") -> str:
    entry = f"<deployment{attributes}><name>d</name>{body}</deployment>"
    return _tenant(f"<deployments>{entry}</deployments>")


VIM = (
    f'<esc_system_config xmlns="{ESC}"><vim_connectors><vim_connector><id>v</id>'
    "<type>SIMULATOR</type></vim_connector></vim_connectors></esc_system_config>"
)
NETWORK = (
    "<networks><network><name>n</name><shared>false</shared><subnet><name>s</name>"
    "<ipversion>ipv4</ipversion><dhcp>true</dhcp><address>192.0.2.0</address>"
    "<netmask>255.255.255.0</netmask></subnet></network></networks>"
)
FLAVOR = "<flavor><name>f</name><vcpus>1</vcpus><memory_mb>64</memory_mb></flavor>"
TEXTS = (
    _deployment(GROUP),
    _deployment("", ' nc:operation="delete"'),
    _deployment(GROUP.replace("60", "61"), ' nc:operation="replace"'),
    _deployment(GROUP.replace("<scaling>", '<scaling nc:operation="remove">')),
    _tenants('<tenant nc:operation="remove"><name>t</name></tenant>'),
    _tenant(NETWORK),
    _tenant(NETWORK, "u"),
    VIM,
    VIM + _tenant(NETWORK),
    f'<esc_datamodel xmlns="{ESC}" nc:operation="delete"/>',
    f'<esc_datamodel xmlns="{ESC}"><flavors>{FLAVOR}</flavors></esc_datamodel>',
)
SEEDS = (
    *(bytes((2 * number,)) + text.encode() for number, text in enumerate(TEXTS)),
    b"\x01" + bytes(range(64)),
    b"\x03" + bytes(range(255, 1, -2)),
    b"\x05" + bytes(7 * number % 256 for number in range(200)),
)


@cache
def _schema() -> Schema:
    return Schema.load()


@cache
def _start() -> Datastore:
    """Return what each input finds: two entries of each frequent kind, a connector."""
    datastore = Datastore(_schema(), Vault(bytes(range(64))))
    for text in (VIM, _deployment(GROUP), _tenant(NETWORK), _tenant("", "u")):
        datastore.commit(datastore.edit(_config(text)))
    return datastore


def _config(text: str) -> etree._Element:
    declared = f'xmlns="{BASE_NS}" xmlns:nc="{BASE_NS}" xmlns:y="{YANG_NS}"'
    return parse(f"<config {declared}>{text}</config>".encode())


def _edit(data: bytes) -> etree._Element | None:
    if data[0] % 2:
        rng = Choices(data[1:])
        config = _config("")
        tops = rng.sample(TOPS, rng.randint(1, len(TOPS)))
        config.extend([as_edit(any_edit(rng, roots()[top], {})) for top in tops])
        return config
    try:
        return _config(data[1:].decode("utf-8", "replace"))
    except MalformedMessage:
        return None


def run(data: bytes) -> None:
    if not data:
        return
    edit = _edit(data)
    if edit is None:
        return
    default = list(DefaultOperation)[data[0] // 2 % len(DefaultOperation)]
    running = _start().fork()
    candidate = Candidate(running)
    before, text = list(running.entries()), etree.tostring(edit)

    drafted = _refusal(lambda: candidate.edit(edit, default))
    assert list(running.entries()) == before, "an edit of the candidate changed running"
    assert etree.tostring(edit) == text, "an edit was changed by being made"
    if drafted is not None:
        assert not candidate.changed, "a refused edit changed the candidate"

    if (direct := _refusal(lambda: _commit(running, edit, default))) is not None:
        assert list(running.entries()) == before, "a refused edit changed running"
    else:
        assert drafted is None, "running took what the candidate refused"
        _sound(running)
    if drafted is None:
        committed = _start().fork()
        other = Candidate(committed)
        other.edit(edit, default)
        refused = _refusal(lambda: committed.commit(other.pending()))
        assert (refused is None) == (direct is None), f"{refused} by way of the candidate"
        assert _texts(committed) == _texts(running)


def _commit(datastore: Datastore, edit: etree._Element, default: DefaultOperation) -> None:
    datastore.commit(datastore.edit(edit, default))


def _refusal(work) -> Exception | None:
    try:
        work()
    except (RpcError, RpcErrors) as error:
        for each in error.errors if isinstance(error, RpcErrors) else (error,):
            parse(etree.tostring(each.to_element()))
        return error
    return None


def _sound(datastore: Datastore) -> None:
    """Raise unless everything in it is valid and can be read back."""
    for entry in datastore.entries():
        assert not datastore.faults(entry), entry.path
    parse(b"<data>%b</data>" % b"".join(datastore.get_config()))


def _texts(datastore: Datastore) -> list[tuple[object, bytes]]:
    def told(entry: Entry) -> tuple[object, bytes]:
        return entry.path, entry.xml

    return sorted(map(told, datastore.entries()), key=repr)
