"""`domain.changed` against the standard library."""

import ast
import dataclasses
import importlib
import pkgutil
from pathlib import Path
from typing import Any

import pytest

from esc_daemon import domain
from esc_daemon.domain.changed import quick, replace
from esc_daemon.domain.specs import ServerSpec

ROOMS = [
    importlib.import_module(each.name)
    for each in pkgutil.walk_packages(domain.__path__, f"{domain.__name__}.")
]
KINDS = [
    kind
    for room in ROOMS
    for kind in vars(room).values()
    if isinstance(kind, type)
    and dataclasses.is_dataclass(kind)
    and kind.__module__ == room.__name__
]


def test_the_domain_changes_values_in_no_other_way():
    for room in ROOMS:
        for node in ast.walk(ast.parse(Path(room.__file__).read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "dataclasses":
                names = {each.name for each in node.names}
                assert "replace" not in names or room.__name__.endswith(".changed"), room
            if isinstance(node, ast.Import):
                assert all(each.name != "dataclasses" for each in node.names), room


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_value_of_the_domain_does_more_than_hold_its_fields_when_it_is_made(kind):
    assert not hasattr(kind, "__post_init__")
    assert all(field.init for field in dataclasses.fields(kind))


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


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_value_of_the_domain_is_made_as_the_standard_library_does_it(kind):
    names = [field.name for field in dataclasses.fields(kind)]
    body = {name: kind.__dict__[name] for name in ("__doc__", "__module__")}
    fields = [(each.name, Any, copied(each)) for each in dataclasses.fields(kind)]
    twin = dataclasses.make_dataclass(kind.__name__, fields, namespace=body, kw_only=True)
    needed = {each.name for each in dataclasses.fields(kind) if must_be_given(each)}
    for given in (names, needed, {*names} - needed):
        values = {name: f"given {name}" for name in given}
        try:
            expected = vars(twin(**values))
        except TypeError as error:
            with pytest.raises(TypeError, match=str(error).partition("missing")[2]):
                kind(**values)
        else:
            made = kind(**values)
            assert {name: getattr(made, name) for name in names} == expected
            assert type(made) is kind
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        kind(colour="red")
    with pytest.raises(TypeError, match="positional argument"):
        kind("red")


def copied(field: "dataclasses.Field[Any]") -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=field.default_factory)
    return dataclasses.field(default=field.default)


def must_be_given(field: "dataclasses.Field[Any]") -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def test_what_does_more_when_it_is_made_gets_no_quick_constructor():
    @dataclasses.dataclass(slots=True, frozen=True)
    class Placed:
        name: str

    with pytest.raises(TypeError, match="Placed is made in another way"):
        quick(Placed)


def test_a_field_may_bear_any_name():
    names = ["kind", "become", "Double", "MISSING", "make_kind", "default_kind"]
    fields: list[tuple[str, type, Any]] = [
        (name, str, dataclasses.field(default=f"no {name}")) for name in names
    ]
    fields.append(("made", list, dataclasses.field(default_factory=list)))
    plain: type[Any] = dataclasses.make_dataclass(
        "Odd", fields, kw_only=True, slots=True, frozen=True
    )
    values = {name: f"a {name}" for name in names}

    made = quick(plain)(**values)

    assert type(made) is plain
    assert dataclasses.asdict(made) == values | {"made": []}


def test_a_class_made_of_a_quick_one_has_values_of_its_own_with_a_constructor_of_its_own():
    values: dict[str, Any] = {"name": "a", "project": "p", "image": None, "flavor": None}

    @dataclasses.dataclass(kw_only=True, slots=True, frozen=True)
    class Slow(ServerSpec):
        colour: str

    for kind in (Slow, quick(Slow)):
        made = kind(**values, colour="red")
        assert type(made) is Slow
        assert (made.name, made.colour) == ("a", "red")


def test_a_field_that_there_is_not_is_an_error():
    spec = ServerSpec(name="a", project="p", image=None, flavor=None)
    with pytest.raises(TypeError, match="ServerSpec has no field colour"):
        replace(spec, colour="red")  # type: ignore[call-arg]  # the error that is meant
