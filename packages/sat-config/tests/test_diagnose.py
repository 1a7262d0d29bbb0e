from __future__ import annotations

import copy
import json
import random
from typing import Annotated

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Meta

import sat_config
from sat_config import diagnose, document, errors, hints, layers, loading, registry, schema
from sat_config.document import Source
from sat_config.node import Node
from sat_config.registry import Open, family, member

GOOD = {
    "toy_type": "plain",
    "label": "x",
    "seed": 3,
    "shape": {"kind": "circle", "area": 2.0, "config": {"radius": 1.0, "steps": [1, 2]}},
    "parts": [{"type": "bolt", "id": "a", "size": 2}, {"type": "nut", "id": "b", "holds": "m4"}],
    "child": {"needed": 1, "depth": 2, "shape": {"kind": "quad", "config": {"side": 1}}},
    "numbers": {"one": 1},
    "children": {"c": {"needed": 1}},
    "grid": [[1, 2], [3]],
    "mode": "fast",
    "count": "auto",
    "sources": ["/a"],
    "devices": [0, 1],
    "flag": True,
}


NAME = "text that is not empty and made of letters, digits and _, after the first also of . + -"


def found(tree, head):
    layer = layers.Layer(document.Document(Source(name="<t>"), tree))
    return diagnose.diagnose(layers.fold([layer], schema.struct_slot(head)))


def one(tree, head):
    (problem,) = found(tree, head)
    return problem


def changed(**values):
    return {**copy.deepcopy(GOOD), **values}


# ------------------------------------------------------------------------------------ one by one


def test_nothing_is_wrong_with_a_good_document(toy):
    assert found(GOOD, toy.Toy) == []


def test_unknown_key_names_the_nearest_and_what_there_is(toy):
    problem = one(changed(child={"needed": 1, "dept": 2}), toy.Toy)
    assert (problem.code, problem.path) == ("unknown-key", ("child", "dept"))
    assert problem.message == "unknown key 'dept' in child"
    assert (problem.suggestion, problem.allowed) == ("depth", "depth, needed, shape")


def test_unknown_key_of_the_root_says_so(toy):
    problem = one(changed(sede=1), toy.Toy)
    assert problem.message == "unknown key 'sede' in the root of the document"


def test_unknown_key_prefers_a_suggestion_that_is_still_free(toy):
    problem = one(changed(child={"needed": 1, "depth": 1, "shap": {}}), toy.Toy)
    assert problem.suggestion == "shape"
    problem = one(changed(child={"needed": 1, "depth": 1, "depth_": 2}), toy.Toy)
    assert problem.suggestion == "depth"


def test_unknown_key_in_capitals_or_with_dashes_is_recognised(toy):
    assert one(changed(**{"Batch-Size": 1}), toy.Toy).suggestion == "batch_size"


def test_unknown_key_that_belongs_elsewhere_says_where(toy):
    problem = one(changed(radius=1.0), toy.Toy)
    assert problem.note.startswith("'radius' belongs at shape.config.radius")


def test_unknown_key_in_a_table_without_keys(toy):
    class Empty(Node, kw_only=True):
        pass

    assert one({"x": 1}, Empty).allowed == "no keys at all"


def test_bad_tag_names_the_nearest(toy):
    problem = one(changed(shape={"kind": "circ", "config": {}}), toy.Toy)
    assert (problem.code, problem.path) == ("bad-tag", ("shape", "kind"))
    assert problem.message == '"circ" is no shape that is known here'
    assert (problem.suggestion, problem.allowed) == ('"circle"', '"circle", "square", "quad"')


@pytest.mark.parametrize("tag", [3, True, ["circle"], {"circle": 1}])
def test_tag_that_is_no_text_is_bad(toy, tag):
    assert one(changed(shape={"kind": tag}), toy.Toy).code == "bad-tag"


def test_missing_tag_names_the_key(toy):
    problem = one(changed(shape={"config": {"radius": 1.0}}), toy.Toy)
    assert (problem.code, problem.path) == ("missing-tag", ("shape",))
    assert problem.message == "shape does not say which shape it is: 'kind' is missing"


def test_missing_tag_of_the_document_names_the_key(toy):
    problem = one({"config": {}}, toy.Shape)
    assert problem.message == "the document does not say which shape it is: 'kind' is missing"


def test_missing_key_says_what_it_takes(toy):
    problem = one(changed(child={}), toy.Toy)
    assert (problem.code, problem.path) == ("missing-key", ("child", "needed"))
    assert (problem.message, problem.allowed) == ("child lacks the key 'needed'", "an integer")


def test_missing_key_of_the_document_says_so(toy):
    assert one({}, toy.Child).message == "the document lacks the key 'needed'"


def test_value_where_a_table_must_be(toy):
    problem = one(changed(child=3), toy.Toy)
    assert problem.message == "child is 3, but it must be a table"
    assert problem.allowed == "a table"


def test_tag_in_place_of_its_table_suggests_the_table(toy):
    assert one(changed(shape="circle"), toy.Toy).suggestion == '{ kind = "circle" }'


def test_null_where_it_may_not_be(toy):
    problem = one(changed(parts=[None]), toy.Toy)
    assert problem.note == "leave the key out instead of writing null"
    assert one(changed(seed=None), toy.Toy).message == "seed is null"


def test_null_where_it_may_be(toy):
    assert found(changed(shape=None, child=None, mode=None), toy.Toy) == []


@pytest.mark.parametrize(
    ("key", "value", "code", "allowed", "suggestion"),
    [
        ("seed", "8", "bad-value", "an integer at least 0", "8"),
        ("seed", 8.0, "bad-value", "an integer at least 0", "8"),
        ("seed", 8.5, "bad-value", "an integer at least 0", None),
        ("seed", -1, "out-of-range", "an integer at least 0", None),
        ("seed", True, "bad-value", "an integer at least 0", None),
        ("flag", "True", "bad-value", "true or false", "true"),
        ("flag", 1, "bad-value", "true or false", None),
        ("mode", "Fast", "bad-value", '"fast", "slow", "idle"', '"fast"'),
        ("mode", "fats", "bad-value", '"fast", "slow", "idle"', '"fast"'),
        ("count", 0, "out-of-range", 'an integer at least 1 or "auto"', None),
        ("label", 3, "bad-value", "text", None),
        ("sources", "/a", "bad-value", "a list, each element text that is not empty", '["/a"]'),
        ("sources", [""], "out-of-range", "text that is not empty", None),
        ("numbers", {"a": "x"}, "bad-value", "an integer", None),
        ("numbers", [1], "bad-value", "a table", None),
        ("grid", [[1], ["2"]], "bad-value", "an integer", "2"),
        ("grid", [1], "bad-value", "a list, each element an integer", "[1]"),
        ("gradient_clip_val", -0.5, "out-of-range", "a number at least 0", None),
        ("name", "a b", "bad-value", NAME, '"a_b"'),
        ("name", "a\n", "bad-value", NAME, '"a"'),
        ("name", "../a", "bad-value", NAME, None),
        ("devices", [], "out-of-range", None, None),
        ("devices", {}, "bad-value", None, None),
    ],
)
def test_leaf_says_what_it_takes_and_what_was_meant(toy, key, value, code, allowed, suggestion):
    problem = one(changed(**{key: value}), toy.Toy)
    assert problem.path[0] == key
    assert problem.code == code
    assert problem.suggestion == suggestion
    if allowed:
        assert problem.allowed == allowed


def test_every_bad_element_is_reported(toy):
    tree = changed(grid=[["x"], [1, "y"]], sources=[1, "/a", 2], numbers={"a": "x", "b": 1.5})
    assert sorted(problem.path for problem in found(tree, toy.Toy)) == [
        ("grid", 0, 0),
        ("grid", 1, 1),
        ("numbers", "a"),
        ("numbers", "b"),
        ("sources", 0),
        ("sources", 2),
    ]


def test_list_of_the_wrong_length_is_reported_as_a_whole(toy):
    circle = {"kind": "circle", "config": {"radius": 1.0, "steps": []}}
    problem = one(changed(shape=circle), toy.Toy)
    assert (problem.code, problem.path) == ("out-of-range", ("shape", "config", "steps"))
    assert problem.allowed == ("a list that is not empty, each element an integer at least 1")


def test_faults_in_lists_of_tables_and_tables_of_tables(toy):
    tree = changed(parts=[{"type": "bolt"}, {"type": "nut", "id": "b", "x": 1}],
                   children={"a": {}, "b": {"needed": "1"}})  # fmt: skip
    assert sorted((problem.code, problem.path) for problem in found(tree, toy.Toy)) == [
        ("bad-value", ("children", "b", "needed")),
        ("missing-key", ("children", "a", "needed")),
        ("missing-key", ("parts", 0, "id")),
        ("unknown-key", ("parts", 1, "x")),
    ]


def test_long_value_is_shortened(toy):
    problem = one(changed(seed="x" * 500), toy.Toy)
    assert len(problem.message) < 80
    assert one(changed(seed={f"k{n}": n for n in range(9)}), toy.Toy).found == (
        "a table (k0, k1, k2, k3)"
    )
    assert one(changed(seed={}), toy.Toy).found == "an empty table"


def test_text_that_only_looks_like_a_document_is_no_trap(toy):
    assert one(changed(seed="[" * 50000), toy.Toy).suggestion is None


with registry.fresh() as LONE:

    @family("lone")
    class Lone(Node, kw_only=True, tag_field="type"):
        pass

    @member
    class Only(Lone, kw_only=True, tag="only"):
        size: int = 1

    class Holder(Node, kw_only=True):
        one: Open[Lone]
        exact: Only | None = None
        pair: tuple[int, str] = (1, "a")
        betas: tuple[float, float] = (0.9, 0.95)


def test_only_member_of_a_family_must_be_named_too(monkeypatch):
    monkeypatch.setattr(registry, "_current", LONE)
    problem = one({"one": {"size": 2}}, Holder)
    assert (problem.code, problem.allowed) == ("missing-tag", '"only"')
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"one": {"size": 2}}, Holder)
    assert found({"one": {"type": "only"}}, Holder) == []


def test_slot_of_one_member_agrees_with_msgspec(monkeypatch):
    monkeypatch.setattr(registry, "_current", LONE)
    good = {"one": {"type": "only"}}
    assert found({**good, "exact": {"size": 2}}, Holder) == []
    problem = one({**good, "exact": {"type": "other"}}, Holder)
    assert (problem.code, problem.path) == ("bad-tag", ("exact", "type"))
    assert (problem.message, problem.allowed) == ('type is "other"', '"only"')


def test_lists_of_fixed_length(monkeypatch):
    monkeypatch.setattr(registry, "_current", LONE)
    good = {"one": {"type": "only"}}
    assert one({**good, "pair": ["a", 1]}, Holder).path == ("pair",)
    problem = one({**good, "betas": [0.9]}, Holder)
    assert problem.allowed == "a list of 2, each element a number"
    assert one({**good, "betas": [0.9, "x"]}, Holder).path == ("betas", 1)


# ------------------------------------------------------------------------ agreement with msgspec

junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.floats(-2, 2),
    st.sampled_from(["", "x", "circle", "square", "fast", "plain", "autoencoder", "vae", "a b"]),
    st.just([]),
    st.just({}),
    st.lists(st.integers(0, 2), max_size=2),
)


def spots(value, path=()):
    yield path
    pairs = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        pairs = enumerate(value)
    for key, item in pairs:
        yield from spots(item, (*path, key))


def at(tree, path):
    for key in path:
        tree = tree[key]
    return tree


@st.composite
def mutated(draw, good, names):
    tree = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([path for path in spots(tree) if path]))
        holder, key = at(tree, path[:-1]), path[-1]
        match draw(st.sampled_from(["set", "delete", "rename", "copy"])):
            case "set":
                holder[key] = draw(junk)
            case "delete":
                del holder[key]
            case "rename" if isinstance(holder, dict):
                holder[draw(st.sampled_from(names))] = holder.pop(key)
            case _:
                other = draw(st.sampled_from(list(spots(tree))))
                holder[key] = copy.deepcopy(at(tree, other))
    return tree


def agrees(tree, slot):
    """Whether the walk finds a problem exactly where msgspec does."""
    cls = slot.struct_for(tree)
    layer = layers.Layer(document.Document(Source(name="<t>"), tree))
    folded = layers.fold([layer], slot)
    problems = [p for p in diagnose.diagnose(folded) if p.severity == "error"]
    problems = [p for p in problems if not p.code.startswith("SAT-")]
    try:
        refused = cls is None or msgspec.convert(tree, cls) is None
    except msgspec.ValidationError:
        refused = True
    assert bool(problems) == refused, (tree, problems)
    assert errors.render(problems)
    return problems


NAMES = ["label", "shape", "child", "kind", "toy_type", "config", "sed", "id", "type", "radius"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
@given(tree=mutated(GOOD, NAMES))
def test_a_problem_is_found_exactly_when_msgspec_refuses(toy, tree):
    agrees(tree, schema.struct_slot(toy.Toy))


def test_a_problem_is_found_exactly_when_msgspec_refuses_a_shipped_document(quickstart):
    good = json.loads(sat_config.dumps(sat_config.load(quickstart), "json"))
    del good["schema_version"]
    slot = schema.struct_slot(registry.current().roots()[0].base)

    @settings(max_examples=150)
    @given(tree=mutated(good, [*good, "type", "config", "latent_dim", "strides"]))
    def check(tree):
        agrees(tree, slot)

    check()


FAULTS = {
    ("seed",): "x",
    ("label",): 3,
    ("shape", "kind"): "blob",
    ("shape",): 3,
    ("parts", 0, "size"): 0,
    ("parts", 1, "holds"): "m5",
    ("child", "needed"): 1.5,
    ("child", "shape", "config", "side"): -1,
    ("child", "extra"): 1,
    ("numbers", "one"): "1",
    ("children", "c", "depth"): 0,
    ("grid", 1, 0): None,
    ("mode",): "quick",
    ("extra",): 1,
}


@pytest.mark.parametrize("seed", range(40))
def test_two_faults_in_different_places_are_both_found(toy, seed):
    chosen = random.Random(seed)
    while True:
        first, second = chosen.sample(list(FAULTS), 2)
        if first != second[: len(first)] and second != first[: len(second)]:
            break
    tree = copy.deepcopy(GOOD)
    for path in (first, second):
        at(tree, path[:-1])[path[-1]] = FAULTS[path]
    assert {problem.path for problem in found(tree, toy.Toy)} == {first, second}


# ------------------------------------------------------------------------------------- in a file


def test_messages_in_full(toy, write):
    name = write("top.toml", (
        'toy_type = "plain"\nsed = 3\nbatch_size = "8"\n\n[shape]\nkind = "circ"\n\n'
        "[child]\ndepth = 2\n"
    ))  # fmt: skip
    text = errors.render(loading.check(name).problems)
    allowed = hints.choices(sorted(schema.fields(toy.PlainToy)), "sed")
    assert text == (
        f"""\
top.toml:2:1: error[unknown-key]: unknown key 'sed' in the root of the document
    2 | sed = 3
      | ^
      = try: seed
      = allowed: {allowed}

top.toml:3:14: error[bad-value]: batch_size is "8"
    3 | batch_size = "8"
      |              ^
      = try: 8
      = allowed: an integer at least 1

top.toml:6:8: error[bad-tag]: "circ" is no shape that is known here
    6 | kind = "circ"
      |        ^
      = try: "circle"
      = allowed: "circle", "square", "quad"

top.toml:8:1: error[missing-key]: child lacks the key 'needed'
    8 | [child]
      | ^
      = allowed: an integer

4 errors"""
    )


def test_missing_key_of_a_tagged_table_points_at_its_tag(toy, write):
    write("a.toml", 'toy_type = "plain"\n[shape]\narea = 1.0\nkind = "circle"\n')
    (problem,) = loading.check(write("top.toml", 'include = "a.toml"\nshape.area = 2.0')).problems
    assert (problem.file, problem.line, problem.column) == ("a.toml", 4, 1)


def test_problem_of_an_override_names_the_word(toy, write):
    (problem,) = loading.check(write("a.toml", 'toy_type = "plain"'), ["seed=-1"]).problems
    assert (problem.file, problem.line) == ("--override 'seed=-1'", None)


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Annotated[str, Meta(min_length=2, max_length=3)], "text of length 2 or more and of length"
         " 3 or less"),
        (Annotated[float, Meta(gt=0, lt=1)], "a number above 0 and below 1"),
        (Annotated[float, Meta(le=1)] | None, "a number at most 1"),
        (Annotated[str, Meta(pattern="^a")], "text matching ^a"),
        (Annotated[int, Meta(ge=2, multiple_of=2)], "an integer at least 2 and divisible by 2"),
        (dict[str, int], "a table"),
        (list[str], "a list, each element text"),
        (bytes, "bytes"),
    ],
)  # fmt: skip
def test_what_an_annotation_takes_in_words(annotation, words):
    assert diagnose.describe(annotation) == words


@pytest.mark.parametrize(
    "tree",
    [
        {f"k{number}": 1 for number in range(3000)},
        {"parts": [{"id": 3}] * 3000},
        {"grid": [["x"] * 3000]},
        {"numbers": {f"k{number}": "x" for number in range(3000)}},
    ],
    ids=["keys", "tables", "list", "table"],
)
def test_no_more_than_a_thousand_problems_are_looked_for(toy, tree):
    found = loading.check({"toy_type": "plain", **tree}).errors
    assert len(found) == diagnose.MOST + 1
    assert {p.code for p in found[-2:]} > {"too-many-problems"}
    assert found[-1].message == "there are more problems than these 1000, which were found first"
