"""What every Struct of every schema must be, however many there are."""

import inspect
import re
import typing

import msgspec
import pytest

from sat_config import convert, registry, schema
from sat_config.audio.arc import ARC
from sat_config.audio.demo import DiffusionCondDemo, LMDemo
from sat_config.audio.inference import Inference
from sat_config.audio.training import ConditionalTraining
from sat_config.node import Node
from sat_config.run import Experiment

FREE_FORM = {
    (Experiment, "ignored"),
    (Inference, "conditioning"),
    (Inference, "negative_conditioning"),
    (ConditionalTraining, "loss_configs"),
    (ARC, "sampling"),
    (DiffusionCondDemo, "demo_cond"),
    (LMDemo, "demo_cond"),
}
"""The fields that may hold anything; each needs a reason in its docstring."""


def below(slot):
    for inner in (slot.item, slot.values):
        if inner is not None:
            yield from below(inner)
    yield from slot.structs


def reachable():
    found, waiting = [], [Experiment]
    for entry in registry.current().families.values():
        waiting += [entry.base, *entry.members.values()]
    while waiting:
        cls = waiting.pop(0)
        if cls in found:
            continue
        found.append(cls)
        waiting += [base for base in cls.__mro__ if issubclass(base, Node) and base is not Node]
        waiting += [cls for field in schema.fields(cls).values() for cls in below(field.slot)]
    return found


NODES = reachable()


def name(cls):
    return cls.__name__


def own_fields(cls):
    inherited = {
        field for base in cls.__bases__ for field in getattr(base, "__struct_fields__", ())
    }
    return [field for field in cls.__struct_fields__ if field not in inherited]


def attributes(cls):
    """Field to text, from the docstring's `Attributes:` section."""
    _, found, section = inspect.cleandoc(cls.__doc__ or "").partition("\nAttributes:\n")
    lines = re.findall(r"^    (\w+): (.+(?:\n      .*)*)", section, re.MULTILINE)
    assert not found or lines, f"{cls.__name__}: empty Attributes section"
    return dict(lines)


def test_there_are_nodes():
    assert Experiment in NODES
    assert len(NODES) > 20


@pytest.mark.parametrize("cls", NODES, ids=name)
def test_node_is_frozen_closed_and_built_by_keyword(cls):
    assert issubclass(cls, Node)
    config = cls.__struct_config__
    assert config.frozen
    assert config.forbid_unknown_fields
    with pytest.raises(TypeError, match=r"positional|Extra"):
        cls(*[None] * (len(cls.__struct_fields__) or 1))


@pytest.mark.parametrize("cls", NODES, ids=name)
def test_node_has_a_docstring_with_a_line_per_own_field(cls):
    assert cls.__doc__, cls
    assert cls.__doc__ != "\n".join([])
    assert "__doc__" in vars(cls), f"{cls.__name__} has no docstring of its own"
    listed = attributes(cls)
    assert set(own_fields(cls)) <= set(listed) <= set(cls.__struct_fields__)


@pytest.mark.parametrize("cls", NODES, ids=name)
def test_every_default_decodes_to_itself(cls):
    for field in schema.fields(cls).values():
        if field.required:
            continue
        plain = msgspec.to_builtins(field.default)
        assert convert.convert(plain, field.slot.annotation) == field.default, field.key


@pytest.mark.parametrize("cls", NODES, ids=name)
def test_node_holds_nothing_mutable_and_nothing_of_free_form(cls):
    hints = typing.get_type_hints(cls, include_extras=True)
    for field in own_fields(cls):
        if (cls, field) in FREE_FORM:
            assert re.search("[Ff]ree|likewise", attributes(cls)[field]), field
            continue
        text = str(hints[field])
        assert "typing.Any" not in text, f"{cls.__name__}.{field} takes anything"
        assert not re.search(r"\b(list|set|bytearray)\[", text), f"{cls.__name__}.{field}: {text}"


@pytest.mark.parametrize("cls", NODES, ids=name)
def test_null_is_a_default_where_it_is_allowed(cls):
    """TOML cannot write it, so what is null must be so by leaving it out."""
    for field in schema.fields(cls).values():
        if any((base, field.key) in FREE_FORM for base in cls.__mro__):
            continue
        if field.slot.nullable:
            assert field.default is None, f"{cls.__name__}.{field.key}"
        for inner in (field.slot.item, field.slot.values):
            if inner is not None:
                assert not inner.nullable, f"{cls.__name__}.{field.key} holds nulls"


def test_fields_that_two_nodes_of_a_family_share_are_of_one_kind():
    """A key that survives a change of tag must mean the same on both sides."""
    for entry in registry.current().families.values():
        for key in schema.fields(entry.base):
            for cls in entry.members.values():
                assert key in schema.fields(cls), f"{cls.__name__} lost {key}"


def test_no_root_key_is_a_layer_key():
    from sat_config import layers

    for entry in registry.current().roots():
        for cls in entry.members.values():
            assert not {*schema.fields(cls)} & {*layers.LAYER_KEYS, "schema_version"}


def test_families_have_names_of_their_own():
    names = [entry.name for entry in registry.current().families.values()]
    assert len(names) == len(set(names))


def test_aliases_stand_for_members():
    for entry in registry.current().families.values():
        for alias, tag in entry.aliases.items():
            assert alias in entry.members
            assert tag in entry.members
            assert tag not in entry.aliases
