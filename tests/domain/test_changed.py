"""`changed.replace` against the one of the standard library."""

import dataclasses

import pytest

from esc_daemon.domain import commands, intent, record, specs
from esc_daemon.domain.changed import replace
from esc_daemon.domain.specs import ServerSpec

ROOMS = (record, intent, specs, commands)
KINDS = [
    kind
    for room in ROOMS
    for kind in vars(room).values()
    if dataclasses.is_dataclass(kind) and kind.__module__ == room.__name__
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_value_of_the_domain_is_changed_as_the_standard_library_does_it(kind):
    names = [field.name for field in dataclasses.fields(kind)]
    thing = kind(**{name: f"old {name}" for name in names})
    for name in names:
        expected = dataclasses.replace(thing, **{name: "new"})
        changed = replace(thing, **{name: "new"})
        assert changed == expected
        assert type(changed) is kind
    assert all(getattr(thing, name) == f"old {name}" for name in names)


def test_a_field_that_there_is_not_is_an_error():
    spec = ServerSpec(name="a", project="p", image=None, flavor=None)
    with pytest.raises(TypeError, match="ServerSpec has no field colour"):
        replace(spec, colour="red")
