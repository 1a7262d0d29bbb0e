import pytest

import sat_config
from sat_config import changes, schema
from sat_config.changes import diff
from sat_config.registry import current

GOOD = {
    "toy_type": "plain",
    "shape": {"kind": "circle", "config": {"radius": 1.0}},
    "parts": [{"type": "bolt", "id": "a"}, {"type": "nut", "id": "b"}],
}


def lines(before, after):
    return [changes.describe(change) for change in diff(before, after)]


def against(**values):
    """What changes when root keys of the toy document get these values."""
    return lines(sat_config.decode(GOOD), sat_config.decode({**GOOD, **values}))


def test_equal_configurations_have_no_differences(toy):
    assert against() == []
    assert against(seed=42, flag=False) == []


def test_defaults_count_as_values(toy):
    assert against(seed=7) == ["seed: 42 -> 7  (needs a restart)"]
    assert against(mode="fast") == [
        'mode: not set -> "fast"  (needs a restart, invalidates latents)'
    ]


def test_change_has_its_parts(toy):
    before, after = sat_config.decode(GOOD), sat_config.decode({**GOOD, "batch_size": 8})
    (change,) = diff(before, after)
    assert (change.path, change.before, change.after) == (("batch_size",), 4, 8)
    assert (change.effect, change.invalidates_latents) == ("restart", False)
    assert change.consequence == "needs a restart"


def test_declared_keys_decide_on_the_effect(toy):
    circle = {"kind": "circle", "config": {"radius": 1.0, "steps": [3]}}
    assert against(shape=circle) == [
        "shape.config.steps: [1,2] -> [3]  (changes the architecture, invalidates latents)"
    ]
    assert against(name="x", label="y", num_workers=0) == [
        'name: "sat" -> "x"  (harmless)',
        "num_workers: 4 -> 0  (harmless)",
        'label: "" -> "y"  (harmless)',
    ]


def test_inherited_declarations_hold(toy):
    assert changes._declared(toy.PlainToy, "harmless_keys") >= {"label", "name"}


def test_training_and_harmless_speak_for_what_is_below(toy):
    circle = {"kind": "circle", "config": {"radius": 1.0}}
    child = {"needed": 1, "shape": circle}
    before = sat_config.decode({**GOOD, "child": child, "children": {"c": child}})
    other = {"needed": 1, "shape": {"kind": "circle", "config": {"radius": 1.0, "steps": [3]}}}
    after = sat_config.decode({**GOOD, "child": other, "children": {"c": other}})
    assert lines(before, after) == [
        "child.shape.config.steps: [1,2] -> [3]  (needs a restart)",
        "children.c.shape.config.steps: [1,2] -> [3]  (harmless)",
    ]


def test_changed_tag_is_one_change_and_keys_of_the_family_are_compared(toy):
    square = {"kind": "square", "area": 2.0, "config": {"side": 3}}
    assert against(shape=square) == [
        'shape.kind: "circle" -> "square"  (changes the architecture, invalidates latents)',
        "shape.area: 1.0 -> 2.0  (needs a restart, invalidates latents)",
    ]


def test_tags_without_weights_of_their_own_change_what_is_computed(toy):
    parts = [{"type": "nut", "id": "a"}, {"type": "nut", "id": "b"}]
    assert against(parts=parts) == ['parts[0].type: "bolt" -> "nut"  (needs a restart)']


def test_alias_of_a_tag_is_no_change(toy):
    square = {"kind": "square", "config": {"side": 3}}
    before = sat_config.decode({**GOOD, "shape": square})
    assert lines(before, sat_config.decode({**GOOD, "shape": {**square, "kind": "quad"}})) == []


def test_node_that_comes_or_goes_says_whether_it_has_weights(toy):
    without = {key: value for key, value in GOOD.items() if key != "shape"}
    (change,) = diff(sat_config.decode(GOOD), sat_config.decode(without))
    assert (change.effect, change.after) == ("architecture", None)
    assert change.before["kind"] == "circle"
    square = sat_config.decode({**GOOD, "shape": {"kind": "square", "config": {"side": 3}}})
    assert diff(sat_config.decode(without), square)[0].effect == "restart"


def test_elements_with_ids_are_compared_by_id(toy):
    moved = [{"type": "nut", "id": "b"}, {"type": "bolt", "id": "a"}]
    assert against(parts=moved) == ['parts: ["a","b"] -> ["b","a"]  (needs a restart)']
    fewer = [{"type": "nut", "id": "b", "holds": "m4"}]
    assert against(parts=fewer) == [
        "parts[0]: a table (type, id, size) -> not set  (needs a restart)",
        'parts[0].holds: "m3" -> "m4"  (needs a restart)',
    ]


def test_elements_without_unique_ids_are_compared_by_place(toy):
    twice = [{"type": "bolt", "id": "a"}, {"type": "bolt", "id": "a", "size": 2}]
    before = sat_config.decode({**GOOD, "parts": twice})
    after = sat_config.decode({**GOOD, "parts": [*twice[:1], {**twice[1], "size": 3}]})
    assert lines(before, after) == ["parts[1].size: 2 -> 3  (needs a restart)"]


def test_tables_of_free_keys_are_compared_by_key(toy):
    before = sat_config.decode({**GOOD, "numbers": {"a": 1, "b": 2}})
    after = sat_config.decode({**GOOD, "numbers": {"b": 3, "c": 4}})
    assert lines(before, after) == [
        "numbers.a: 1 -> not set  (needs a restart)",
        "numbers.b: 2 -> 3  (needs a restart)",
        "numbers.c: not set -> 4  (needs a restart)",
    ]


def test_documents_of_another_kind_compare_what_they_share(toy):
    other = sat_config.decode({"toy_type": "other", "seed": 1})
    assert lines(sat_config.decode(GOOD), other) == [
        'toy_type: "plain" -> "other"  (changes the architecture)',
        "seed: 42 -> 1  (needs a restart)",
    ]


def test_things_of_different_kinds_cannot_be_compared(toy):
    with pytest.raises(TypeError, match="a PlainToy cannot be compared to a CircleConfig"):
        diff(sat_config.decode(GOOD), toy.CircleConfig(radius=1.0))
    with pytest.raises(TypeError, match="Bolt"):
        diff(toy.Bolt(id="a"), toy.Child(needed=1))


def test_public_name_is_the_function():
    assert sat_config.diff is diff
    with pytest.raises(AttributeError, match="no attribute 'dif'"):
        sat_config.dif  # noqa: B018


LISTS = ("weight_keys", "training_keys", "harmless_keys")


def classes():
    """Every Struct that a document can hold."""
    found = {member for family in current().families.values() for member in family.members.values()}
    ahead = list(found)
    while ahead:
        for field in schema.fields(ahead.pop()).values():
            new = set(structs_in(field.slot)) - found
            found |= new
            ahead += new
    return sorted(found, key=lambda cls: cls.__qualname__)


def structs_in(slot):
    yield from slot.structs
    for inner in (slot.item, slot.values):
        if inner is not None:
            yield from structs_in(inner)


@pytest.mark.parametrize("cls", classes(), ids=lambda cls: cls.__name__)
def test_declared_keys_exist_and_say_one_thing(cls):
    declared = [changes._declared(cls, name) for name in LISTS]
    own = {name for base in cls.__mro__ for name in vars(base).get("__annotations__", ())}
    known = set(schema.fields(cls))
    for names in (*declared, changes._declared(cls, "latent_keys")):
        assert names <= known | {"training", "model"} | own
    assert sum(map(len, declared)) == len(set().union(*declared))
