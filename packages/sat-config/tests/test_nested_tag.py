"""A root family whose tag stands inside a table, beside the run keys."""

from __future__ import annotations

import pytest

from sat_config import loading, registry, rules
from sat_config.node import Node
from sat_config.registry import family, member
from sat_config.run import Experiment

with registry.fresh() as LABS:

    @family("lab", tag_path=("model", "name"), root=True)
    class Lab(Experiment, kw_only=True):
        note: str = ""

    class SmallModel(Node, kw_only=True, tag_field="name", tag="small"):
        width: int

    @member(tag="small")
    class Small(Lab, kw_only=True):
        model: SmallModel
        quick: bool = True

    class LargeModel(Node, kw_only=True, tag_field="name", tag="large"):
        depth: int

    @member(tag="large")
    class Large(Lab, kw_only=True):
        model: LargeModel


@pytest.fixture(autouse=True)
def labs(monkeypatch):
    monkeypatch.setattr(registry, "_current", LABS)
    monkeypatch.setattr(rules, "RULES", {})
    monkeypatch.setattr(rules, "_on_class", {})


SMALL = 'note = "n"\nquick = false\n[model]\nname = "small"\nwidth = 3\n'


def test_document_belongs_to_the_family_of_its_nested_tag(write):
    config = loading.check(write("a.toml", SMALL)).require()
    assert config == Small(note="n", quick=False, model=SmallModel(width=3))


def test_layer_that_changes_the_nested_tag_drops_the_foreign_keys(write):
    write("a.toml", SMALL)
    name = write("b.toml", 'include = "a.toml"\n[model]\nname = "large"\ndepth = 2\n')
    assert loading.check(name).require() == Large(note="n", model=LargeModel(depth=2))


def test_override_that_changes_the_nested_tag_drops_the_foreign_keys(write):
    found = loading.check(write("a.toml", SMALL), ["model.name=large", "model.depth=2"])
    assert found.require() == Large(note="n", model=LargeModel(depth=2))


def test_unknown_nested_tag_names_the_members(write):
    (problem,) = loading.check(write("a.toml", '[model]\nname = "smaller"\nwidth = 1\n')).problems
    assert (problem.code, problem.path, problem.line) == ("bad-tag", ("model", "name"), 2)
    assert problem.suggestion == '"small"'


def test_document_without_the_nested_tag_is_refused(write):
    (problem,) = loading.check(write("a.toml", "[model]\nwidth = 1\n")).problems
    assert problem.message == "the document has no model.name: nothing says what it configures"


def test_faults_beside_the_nested_tag_are_found(write):
    text = 'seed = "x"\n[model]\nname = "small"\nwidth = "y"\n'
    found = loading.check(write("a.toml", text)).problems
    assert sorted(problem.path for problem in found) == [("model", "width"), ("seed",)]


def test_nested_tag_may_be_set_where_there_is_no_table_yet(write):
    name = write("a.toml", SMALL)
    words = ["-model", "-quick", "model.name=large", "model.depth=2"]
    assert loading.check(name, words).require() == Large(note="n", model=LargeModel(depth=2))


def test_nested_tag_may_be_removed(write):
    (problem,) = loading.check(write("a.toml", SMALL), ["-model.name"]).problems
    assert problem.code == "missing-tag"
    found = loading.check(write("a.toml", SMALL), ["-model", "-model.name"]).problems
    assert found[0].message == "there is no model to remove from"
