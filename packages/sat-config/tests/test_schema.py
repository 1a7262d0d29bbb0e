from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from sat_config import registry, schema
from sat_config.node import CheckpointPath, InputPath, OutputPath, Positive


def test_fields_are_the_keys_of_a_struct_in_order(toy):
    found = schema.fields(toy.Child)
    assert list(found) == ["needed", "depth", "shape"]
    assert [field.required for field in found.values()] == [True, False, False]
    assert found["needed"].default is msgspec.NODEFAULT
    assert (found["depth"].default, found["shape"].default) == (1, None)
    assert schema.fields(toy.Child) is found


def test_default_that_is_made_per_instance_is_a_value(toy):
    assert schema.fields(toy.PlainToy)["numbers"].default == {}


def test_slot_of_a_family_knows_its_members(toy):
    slot = schema.fields(toy.PlainToy)["shape"].slot
    assert slot.structs == (toy.Circle, toy.Square, toy.OldSquare)
    assert slot.family.name == "shape"
    assert (slot.only_tables, slot.nullable) == (True, True)
    assert slot.struct_for({"kind": "circle"}) is toy.Circle
    assert slot.struct_for({"kind": "blob"}) is None
    assert slot.struct_for({}) is None


def test_slot_of_some_members_takes_only_those(toy):
    slot = schema.slot_of(toy.Circle | toy.Square)
    assert slot.struct_for({"kind": "square"}) is toy.Square
    assert slot.struct_for({"kind": "quad"}) is None


def test_slot_of_one_member_takes_it_with_or_without_its_tag(toy):
    slot = schema.slot_of(toy.Circle)
    assert slot.struct_for({}) is toy.Circle
    assert slot.family is None


def test_slot_of_lists_and_free_tables(toy):
    fields = schema.fields(toy.PlainToy)
    assert fields["parts"].slot.item.structs == (toy.Bolt, toy.Nut)
    assert fields["children"].slot.values.structs == (toy.Child,)
    assert fields["grid"].slot.item.item.annotation is int
    assert not fields["parts"].slot.only_tables


@pytest.mark.parametrize(
    ("annotation", "item"),
    [
        (tuple[int, ...], int),
        (tuple[int, int], int),
        (list[int], int),
        (tuple[int, str], None),
        (Annotated[tuple[int, ...], Meta(min_length=1)], int),
        (int, None),
    ],
)
def test_item_of_a_list(annotation, item):
    slot = schema.slot_of(annotation)
    assert (slot.item.annotation if slot.item else None) is item


@pytest.mark.parametrize(
    ("annotation", "is_text"),
    [
        (str, True),
        (str | None, True),
        (Annotated[str, Meta(min_length=1)], True),
        (Literal["a", "b"], True),
        (Literal["a", 1], False),
        (int | Literal["auto"], False),
        (None, False),
        (Any, False),
    ],
)
def test_text_slots(annotation, is_text):
    assert schema.slot_of(annotation).is_text is is_text


def test_any_takes_null():
    assert schema.slot_of(Any).nullable


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (InputPath, "input"),
        (OutputPath | None, "output"),
        (CheckpointPath, "checkpoint"),
        (Annotated[InputPath, Meta(description="x")], "input"),
        (str, None),
    ],
)
def test_path_kinds(annotation, kind):
    assert schema.slot_of(annotation).path_kind == kind


def test_concerns_looks_below(toy):
    fields = schema.fields(toy.PlainToy)
    assert schema.concerns(fields["sources"].slot, "path_kind")
    assert not schema.concerns(fields["children"].slot, "path_kind")
    assert not schema.concerns(fields["shape"].slot, "path_kind")
    assert schema.concerns(schema.slot_of(dict[str, InputPath]), "path_kind")
    assert schema.concerns(schema.struct_slot(toy.Toy), "path_kind")


def test_child_slot_follows_the_tag(toy):
    slot = schema.struct_slot(toy.Toy)
    plain = {"toy_type": "plain"}
    assert schema.child_slot(slot, plain, "grid").item.item.annotation is int
    assert schema.child_slot(slot, {"toy_type": "other"}, "grid") is None
    assert schema.child_slot(slot, {}, "label").is_text
    assert schema.child_slot(slot, {}, "grid") is None
    assert schema.child_slot(None, {}, "grid") is None
    numbers = schema.child_slot(slot, plain, "numbers")
    assert schema.child_slot(numbers, {}, "anything").annotation is int
    parts = schema.child_slot(slot, plain, "parts")
    assert schema.child_slot(parts, [{}], 0).family.name == "part"


def test_struct_slot_of_a_plain_struct_and_of_a_head(toy):
    assert schema.struct_slot(toy.Child).structs == (toy.Child,)
    assert schema.struct_slot(toy.Toy).structs == (toy.PlainToy, toy.OtherToy)


def test_settling_leaves_decoding_as_it_is(toy):
    tree = {"toy_type": "plain", "shape": {"kind": "circle", "config": {"radius": 1.0}}}
    schema.settle(toy.PlainToy)
    assert toy.Child.__annotations__["depth"] is Positive
    found = msgspec.convert(tree, toy.PlainToy)
    assert found.shape == toy.Circle(config=toy.CircleConfig(radius=1.0))
    with pytest.raises(msgspec.ValidationError, match=r"\$\.shape\.config\.radius"):
        msgspec.convert({**tree, "shape": {**tree["shape"], "config": {"radius": 0}}}, toy.PlainToy)


def test_settling_leaves_names_of_a_function_to_msgspec():
    class Inner(msgspec.Struct):
        size: int = 1

    class Outer(msgspec.Struct):
        inner: Inner
        size: int

    schema.settle(Outer)
    assert Outer.__annotations__ == {"inner": "Inner", "size": int}


def test_what_an_annotation_means_is_remembered_per_registry(toy):
    schema.settle(toy.PlainToy)
    assert any(text == "Open[Shape] | None" for _, text in registry.current().resolved)
    with registry.fresh() as other:
        assert other.resolved == {}


def test_settling_twice_costs_nothing(toy, monkeypatch):
    schema.settle(toy.PlainToy)
    monkeypatch.setattr(schema, "_settle_own", None)
    schema.settle(toy.PlainToy)
