from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from sat_config import registry
from sat_config.node import Node
from sat_config.registry import Open, RegistryError, family, member

with registry.fresh() as PETS:

    @family("pet")
    class Pet(Node, kw_only=True, tag_field="type"):
        name: str = ""

    @member
    class Cat(Pet, kw_only=True, tag="cat"):
        lives: int = 9

    @member
    class Dog(Pet, kw_only=True, tag="dog"):
        pass

    class House(Node, kw_only=True):
        pet: Open[Pet]
        others: tuple[Open[Pet], ...] = ()


@pytest.fixture
def pets(monkeypatch):
    monkeypatch.setattr(registry, "_current", PETS)
    return PETS.families[Pet]


def test_member_is_entered_under_its_tag(pets):
    assert pets.members == {"cat": Cat, "dog": Dog}
    assert pets.tag_path == ("type",)


def test_open_slot_takes_every_registered_member(pets):
    import msgspec

    found = msgspec.convert({"pet": {"type": "dog"}, "others": [{"type": "cat"}]}, House)
    assert found == House(pet=Dog(), others=(Cat(),))


def test_member_twice_names_both_origins():
    with registry.fresh():
        family("pet")(Pet)
        member(Cat)

        class Tiger(Pet, kw_only=True, tag="cat"):
            pass

        with pytest.raises(RegistryError) as caught:
            member(Tiger)
    assert str(caught.value) == (
        f"two Structs claim the pet 'cat': {__name__}.Cat and"
        f" {__name__}.test_member_twice_names_both_origins.<locals>.Tiger"
    )


def test_member_after_first_use_is_too_late(pets):
    import msgspec

    msgspec.convert({"pet": {"type": "dog"}}, House)

    class Bird(Pet, kw_only=True, tag="bird"):
        pass

    with pytest.raises(RegistryError) as caught:
        member(Bird)
    assert "too late to register the pet 'bird'" in str(caught.value)
    assert "Bird" in str(caught.value)
    assert "sat_config.schema" in str(caught.value)
    assert "bird" not in pets.members


def test_root_member_is_never_too_late():
    with registry.fresh() as found:

        @family("root", root=True)
        class Root(Node, kw_only=True, tag_field="root"):
            pass

        @member
        class A(Root, kw_only=True, tag="a"):
            pass

        from sat_config import schema

        schema.struct_slot(Root)

        @member
        class B(Root, kw_only=True, tag="b"):
            pass

        assert found.roots()[0].members == {"a": A, "b": B}
        assert schema.struct_slot(Root).structs == (A, B)


def test_member_without_family_is_refused():
    class Stone(Node, kw_only=True, tag_field="type", tag="stone"):
        pass

    with pytest.raises(RegistryError, match="does not derive from a registered family"):
        member(Stone)


def test_head_of_a_family_is_no_member():
    with registry.fresh():
        family("pet")(Pet)
        with pytest.raises(RegistryError, match="does not derive from a registered family"):
            member(Pet)


def test_member_without_tag_is_refused():
    with registry.fresh():

        @family("thing", tag_path=("about", "kind"))
        class Thing(Node, kw_only=True):
            pass

        class Untagged(Thing, kw_only=True):
            pass

        with pytest.raises(RegistryError, match="no tag of text"):
            member(Untagged)


def test_family_without_tag_is_refused():
    class Free(Node, kw_only=True):
        pass

    with pytest.raises(RegistryError, match="needs a tag_field"):
        family("free")(Free)


def test_family_with_a_tag_path_reads_it():
    with registry.fresh() as found:

        @family("thing", tag_path=("about", "kind"), root=True)
        class Thing(Node, kw_only=True):
            pass

        @member(tag="stone")
        class Stone(Thing, kw_only=True):
            pass

        entry = found.families[Thing]
        assert entry.tag_of({"about": {"kind": "stone"}}) == "stone"
        assert entry.member_for({"about": {"kind": "stone"}}) is Stone
        assert entry.member_for({"about": {"kind": ["stone"]}}) is None
        assert entry.tag_of({"about": 3}) is None
        assert entry.tag_of(3) is None
        assert found.roots() == [entry]


def test_alias_is_the_tag_that_it_stands_for(toy):
    entry = toy.registry.families[toy.Shape]
    assert entry.canonical("quad") == entry.canonical("square") == "square"
    assert entry.canonical(["quad"]) == ["quad"]
    assert entry.member_for({"kind": "quad"}) is toy.OldSquare


def test_fresh_registry_is_empty_and_gone_afterwards():
    before = registry.current()
    with registry.fresh() as inner:
        assert registry.current() is inner
        assert inner.families == {}
        assert inner.family_of(Pet) is None
    assert registry.current() is before


def test_fresh_registry_ends_with_an_error_too():
    before = registry.current()
    with pytest.raises(KeyError), registry.fresh():
        raise KeyError
    assert registry.current() is before


def test_fresh_registry_before_the_first_load_leaves_the_shipped_families_alone():
    script = (
        "import sat_config\n"
        "from sat_config import registry\n"
        "with registry.fresh() as inner:\n"
        "    assert not sat_config.loading.plugins.load() and inner.families == {}\n"
        "assert registry.current().roots()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_open_in_a_class_body_without_future_annotations_is_refused():
    source = (
        "from sat_config.node import Node\n"
        "from sat_config.registry import Open\n"
        "class House(Node, kw_only=True):\n"
        "    pet: Open[Pet]\n"
    )
    with pytest.raises(RegistryError, match="from __future__ import annotations"):
        exec(compile(source, "eager.py", "exec", dont_inherit=True), {"Pet": Pet, "__name__": "x"})


def test_open_of_no_family_is_refused():
    with registry.fresh(), pytest.raises(RegistryError, match="heads no family"):
        Open[Pet]


def test_open_of_an_empty_family_is_refused():
    with registry.fresh():
        family("pet")(Pet)
        with pytest.raises(RegistryError, match="no pet is registered"):
            Open[Pet]


def test_nodes_survive_pickling(toy):
    found = toy.Circle(area=2.0, config=toy.CircleConfig(radius=1.0))
    assert pickle.loads(pickle.dumps(found)) == found
