import copy
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sat_config import document, layers, loading, schema
from sat_config.document import DocumentError, Source
from sat_config.layers import Folded, Origin, Trace

BASE = 'toy_type = "plain"\nlabel = "base"\nseed = 1\n'


def load(name, *overrides, layers=()):
    report = loading.check(name, overrides, layers)
    assert report.problems == (), report.problems
    return report.config


def problems(name, *overrides):
    return loading.check(name, overrides).problems


def only(name, *overrides):
    (problem,) = problems(name, *overrides)
    return problem


# -------------------------------------------------------------------------------------- the order


def test_later_includes_win_and_the_file_itself_wins_over_them(toy, write):
    write("a.toml", BASE + "batch_size = 2\nval_every = 5\n")
    write("b.json", {"label": "b", "batch_size": 3})
    config = load(write("top.toml", 'include = ["a.toml", "b.json"]\nlabel = "top"\n'))
    assert (config.label, config.batch_size, config.val_every) == ("top", 3, 5)


def test_layers_from_the_command_line_lie_on_top(toy, write):
    write("over.toml", 'label = "over"')
    config = load(write("top.toml", BASE), layers=[write("more.toml", "seed = 7"), "over.toml"])
    assert (config.label, config.seed) == ("over", 7)


def test_single_include_needs_no_list(toy, write):
    write("a.toml", BASE)
    assert load(write("top.toml", 'include = "a.toml"')).label == "base"


def test_lists_replace_whole_and_tables_merge(toy, write):
    write("a.toml", BASE + "sources = ['x', 'y']\n[numbers]\na = 1\nb = 2\n")
    config = load(write("top.toml", 'include = "a.toml"\nsources = ["/z"]\nnumbers = { b = 3 }\n'))
    assert config.sources == ("/z",)
    assert config.numbers == {"a": 1, "b": 3}


def test_included_twice_by_two_ways_is_applied_twice(toy, write):
    write("base.toml", BASE)
    write("left.toml", 'include = "base.toml"\nlabel = "left"')
    write("right.toml", 'include = "base.toml"\nseed = 9')
    config = load(write("top.toml", 'include = ["left.toml", "right.toml"]'))
    assert (config.label, config.seed) == ("base", 9)


def test_include_is_relative_to_the_file_that_names_it(toy, write, here, monkeypatch):
    write("models/deep/base.toml", BASE)
    write("models/mid.toml", 'include = "deep/base.toml"')
    write("runs/top.toml", 'include = "../models/mid.toml"')
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert load("../runs/top.toml").label == "base"
    assert load(str(here / "runs" / "top.toml")).label == "base"


def test_include_may_start_from_home(toy, write, here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    write("base.toml", BASE)
    assert load(write("sub/top.toml", 'include = "~/base.toml"')).label == "base"


# ------------------------------------------------------------------------------------- path keys

DATA = {"dataset_type": "audio_dir", "datasets": [{"id": "one", "path": "clips"}]}


def test_sat_path_keys_are_layers_at_their_places(write, quickstart, here):
    write("data/train.json", DATA)
    write("data/val.json", {**DATA, "datasets": [{"id": "two", "path": "clips"}]})
    write("top.json", {
        "model_config": str(quickstart),
        "dataset_config": "data/train.json",
        "val_dataset_config": "data/val.json",
        "name": "mine",
    })  # fmt: skip
    config = load("top.json")
    assert config.name == "mine"
    assert [folder.id for folder in config.dataset.datasets] == ["one"]
    assert [folder.id for folder in config.val_dataset.datasets] == ["two"]
    assert config.dataset.datasets[0].path == str(here / "data" / "clips")


def test_path_keys_lie_over_includes_and_below_the_file(toy, write):
    write("a.toml", BASE + "batch_size = 1")
    write("m.json", {"label": "m", "seed": 2})
    text = 'include = "a.toml"\nmodel_config = "m.json"\nseed = 3\n'
    config = load(write("top.toml", text))
    assert (config.label, config.seed, config.batch_size) == ("m", 3, 1)


def test_path_key_that_is_no_file_is_refused(toy, write):
    problem = only(write("top.toml", BASE + "model_config = 3"))
    assert problem.message == "expected a file, found an integer"
    assert (problem.line, problem.code) == (4, "bad-include")


@pytest.mark.parametrize("value", ['""', "null"])
def test_empty_path_key_names_nothing(toy, write, value):
    text = f'{{"toy_type": "plain", "model_config": {value}}}'
    assert load(write("top.json", text)).label == ""


# ---------------------------------------------------------------------------------------- mounts


def test_mount_takes_a_part_and_puts_it_elsewhere(toy, write):
    write("box.toml", "[stuff.shape]\nkind = 'square'\nconfig = { side = 3 }\n[other]\nx = 1\n")
    text = 'include = [{ path = "box.toml", take = "stuff.shape", at = "child.shape" }]\n'
    config = load(write("top.toml", text + 'toy_type = "plain"\n[child]\nneeded = 1\n'))
    assert config.child.shape == toy.Square(config=toy.SquareConfig(side=3))


def test_mount_of_a_whole_document(toy, write):
    write("shape.json", {"kind": "square", "config": {"side": 3}})
    text = BASE + 'include = [{ path = "shape.json", at = "shape" }]\n'
    assert load(write("top.toml", text)).shape.config.side == 3


def test_mount_of_a_scalar(toy, write):
    write("other.toml", "rate = 7")
    text = BASE + 'include = [{ path = "other.toml", take = "rate", at = "batch_size" }]\n'
    assert load(write("top.toml", text)).batch_size == 7


def test_take_without_at_lays_the_part_at_the_root(toy, write):
    write("box.toml", f"[inner]\n{BASE}")
    assert load(write("top.toml", 'include = [{ path = "box.toml", take = "inner" }]')).seed == 1


def test_mounted_file_may_mount_itself(toy, write):
    write("leaf.toml", "[s]\nkind = 'square'\nconfig = { side = 3, radius = 1.0 }\n")
    write("mid.toml", 'include = [{ path = "leaf.toml", take = "s", at = "box.shape" }]\n'
          "[box.shape.config]\nradius = 2.0\n[skip]\nx = 1\n")  # fmt: skip
    text = 'include = [{ path = "mid.toml", take = "box.shape", at = "child.shape" }]\n'
    top = write("top.toml", text + 'toy_type = "plain"\nchild = { needed = 1 }\n')
    config = load(top)
    assert config.child.shape.config == toy.SquareConfig(side=3, radius=2.0)
    origins = loading.check(top).origins
    assert origins["child.shape.config.side"] == "leaf.toml:3"
    assert origins["child.shape.config.radius"] == "mid.toml:3"


def test_mounted_part_may_lie_deeper_than_what_its_file_mounts(toy, write):
    write("leaf.toml", "[shape]\nkind = 'square'\nconfig = { side = 3 }\n")
    write("mid.toml", 'include = [{ path = "leaf.toml", at = "box" }]\n')
    text = BASE + 'include = [{ path = "mid.toml", take = "box.shape", at = "shape" }]\n'
    assert load(write("top.toml", text)).shape.config.side == 3


def test_part_that_is_not_taken_is_left_out(toy, write):
    write("a.toml", "[x]\ny = 1\n")
    write("mid.toml", 'include = [{ path = "a.toml", at = "away" }]\n[shape]\nkind = "square"\n'
          "config = { side = 3 }\n")  # fmt: skip
    text = BASE + 'include = [{ path = "mid.toml", take = "shape", at = "shape" }]\n'
    assert load(write("top.toml", text)).shape.config.side == 3


def test_take_of_something_absent_is_refused(toy, write):
    write("box.toml", "[stuff]\nx = 1\n")
    text = BASE + 'include = [{ path = "box.toml", take = "stuff.shape", at = "shape" }]\n'
    problem = only(write("top.toml", text))
    assert problem.message == "box.toml has no table 'stuff.shape'; its root keys are 'stuff'"
    assert (problem.file, problem.line, problem.column) == ("top.toml", 4, 12)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("3", "expected a file or { path, take, at }, found an integer"),
        ('""', "the name of the file is empty"),
        ('{ take = "x" }', "an include needs 'path'; path, take and at are text"),
        ("{ path = 1 }", "an include needs 'path'; path, take and at are text"),
        ('{ path = "" }', "an include needs 'path'; path, take and at are text"),
        ('{ path = "a.toml", when = "x" }', "unknown 'when'; an include has path, take, at"),
        (
            '{ path = "a.toml", at = "a..b" }',
            "take and at are keys with single dots between them, such as model.encoder",
        ),
        (
            '{ path = "a.toml", at = "' + "a." * 200 + 'a" }',
            "take and at are keys with single dots between them, such as model.encoder",
        ),
    ],
)
def test_malformed_include_is_refused(toy, write, entry, message):
    problem = only(write("top.toml", f"{BASE}include = [{entry}]"))
    assert (problem.code, problem.message, problem.line) == ("bad-include", message, 4)


# ---------------------------------------------------------------------------------- broken chains


def test_missing_include_points_at_its_entry(toy, write):
    write("models/vae.toml", "")
    problem = only(write("top.toml", 'include = [\n  "models/vea.toml",\n]\n' + BASE))
    assert (problem.file, problem.line, problem.column) == ("top.toml", 2, 3)
    assert problem.message == "models/vea.toml: there is no such file"
    assert problem.suggestion == "models/vae.toml"


def test_missing_include_of_an_include_points_into_the_included_file(toy, write):
    write("mid.toml", 'x = 1\ninclude = "gone.toml"')
    problem = only(write("top.toml", 'include = "mid.toml"'))
    assert (problem.file, problem.line) == ("mid.toml", 2)


def test_include_with_a_syntax_error_points_into_the_included_file(toy, write):
    write("mid.toml", "x = 1\ny = \n")
    problem = only(write("top.toml", 'include = "mid.toml"'))
    assert (problem.file, problem.line, problem.code) == ("mid.toml", 2, "syntax")


def test_all_broken_includes_are_reported(toy, write):
    write("bad.toml", "x")
    found = problems(write("top.toml", 'include = ["bad.toml", "gone.toml", 3]'))
    assert [problem.code for problem in found] == ["syntax", "missing-file", "bad-include"]


def test_include_cycle_names_the_chain(toy, write):
    write("a.toml", 'include = "sub/b.toml"')
    write("sub/b.toml", 'include = "../c.toml"')
    write("c.toml", 'include = "a.toml"')
    problem = only("a.toml")
    expected = "files include each other: a.toml -> sub/b.toml -> c.toml -> a.toml"
    assert problem.message == expected.replace("/", os.sep)
    assert (problem.code, problem.file, problem.line) == ("include-cycle", "c.toml", 1)


def test_file_that_includes_itself_is_a_cycle(toy, write):
    assert only(write("a.toml", 'include = "./a.toml"')).code == "include-cycle"


def test_cycle_through_a_link_is_a_cycle(toy, write, here):
    write("a.toml", 'include = "link.toml"')
    os.symlink(here / "a.toml", here / "link.toml")
    assert only("a.toml").code == "include-cycle"


def test_includes_that_multiply_without_end_are_refused(toy, write):
    write("0.toml", BASE)
    for number in range(1, 30):
        write(f"{number}.toml", f'include = ["{number - 1}.toml", "{number - 1}.toml"]')
    assert {problem.code for problem in problems("29.toml")} == {"too-many-layers"}


def test_include_with_a_name_that_no_file_can_have_is_refused(toy, write):
    problem = only(write("top.toml", f'{BASE}include = ["a\\u0000.toml"]'))
    assert (problem.code, problem.line) == ("unreadable", 4)


def test_unknown_preset_names_the_known_ones_and_the_nearest(toy, write):
    problem = only(write("top.toml", f'{BASE}include = "sat:stable_audio_2.0"'))
    assert (problem.code, problem.line) == ("unknown-preset", 4)
    assert problem.message == "sat:stable_audio_2.0: no preset of this name is shipped"
    assert problem.suggestion == "sat:stable_audio_2_0"
    assert "sat:dance_diffusion_base, " in problem.allowed
    assert problem.allowed.endswith(" more")


@pytest.mark.parametrize("name", ["sat:", "sat:../sat_config", "sat:datasets/", "sat:/etc/a"])
def test_preset_is_no_path(toy, write, name):
    assert only(write("top.toml", f'{BASE}include = "{name}"')).code == "unknown-preset"


# ----------------------------------------------------------------------------------- merging tags


def test_tag_change_keeps_only_the_familys_keys(toy, write):
    write("a.toml", BASE + "[shape]\nkind = 'circle'\narea = 2.5\nconfig = { radius = 1.0 }\n")
    text = 'include = "a.toml"\n[shape]\nkind = "square"\nconfig = { side = 3 }\n'
    shape = load(write("top.toml", text)).shape
    assert shape == toy.Square(area=2.5, config=toy.SquareConfig(side=3))


def test_same_tag_again_keeps_everything(toy, write):
    write("a.toml", BASE + "[shape]\nkind = 'circle'\nconfig = { radius = 1.0, steps = [3] }\n")
    text = 'include = "a.toml"\n[shape]\nkind = "circle"\nconfig = { radius = 2.0 }\n'
    assert load(write("top.toml", text)).shape.config == toy.CircleConfig(radius=2.0, steps=(3,))


def test_alias_of_a_tag_counts_as_the_same(toy, write):
    write("a.toml", BASE + "[shape]\nkind = 'square'\nconfig = { side = 3 }\n")
    text = 'include = "a.toml"\nshape = { kind = "quad", config = { radius = 2.0 } }\n'
    shape = load(write("top.toml", text)).shape
    assert shape == toy.OldSquare(config=toy.SquareConfig(side=3, radius=2.0))


def test_root_tag_change_keeps_run_keys_and_the_familys(toy, write):
    write("a.toml", BASE + "batch_size = 2\n[child]\nneeded = 1\n[numbers]\na = 1\n")
    config = load(write("top.toml", 'include = "a.toml"\ntoy_type = "other"\nextra = 5\n'))
    assert type(config) is toy.OtherToy
    assert (config.label, config.batch_size, config.extra) == ("base", 2, 5)
    assert config.child is None


def test_tag_change_below_a_root_whose_tag_comes_later(toy, write):
    write("a.toml", "[shape]\nkind = 'circle'\nconfig = { radius = 1.0 }\n")
    write("b.toml", "[shape]\nkind = 'square'\nconfig = { side = 3 }\n")
    config = load(write("top.toml", 'include = ["a.toml", "b.toml"]\ntoy_type = "plain"'))
    assert config.shape == toy.Square(config=toy.SquareConfig(side=3))


def test_tag_change_inside_a_mount_whose_table_gets_its_tag_later(write):
    write("base.toml", "model_type = 'autoencoder'\n[model.bottleneck]\ntype = 'rvq'\n"
          "config = { foreign = 1 }\n")  # fmt: skip
    write("vae.toml", 'include = "base.toml"\n[model.bottleneck]\ntype = "vae"\n')
    write("top.toml", 'include = [{ path = "vae.toml", take = "model", at ='
          ' "model.pretransform.config" }]\nmodel_type = "diffusion_uncond"\n[model]\n'
          'type = "dit"\npretransform = { type = "autoencoder" }\n')  # fmt: skip
    folded = loading.check("top.toml").folded
    assert folded.tree["model"]["pretransform"]["config"] == {"bottleneck": {"type": "vae"}}


def test_new_tag_without_keys_leaves_nothing_of_the_old(toy, write):
    write("a.toml", BASE + "[shape]\nkind = 'circle'\nconfig = { radius = 1.0 }\n")
    problem = only(write("top.toml", 'include = "a.toml"\n[shape]\nkind = "square"\n'))
    assert problem.message == "shape lacks the key 'config'"
    assert (problem.file, problem.line) == ("top.toml", 3)


def test_table_over_a_scalar_names_both_places(toy, write):
    write("a.toml", BASE + "count = 3\n")
    problem = only(write("top.toml", 'include = "a.toml"\n[count]\nx = 1\n'))
    assert problem.code == "layer-clash"
    assert problem.path == ("count",)
    assert problem.message == (
        "count is a table here but an integer in a.toml:4; a layer can replace a value only by one"
        " of the same kind"
    )
    assert (problem.file, problem.line) == ("top.toml", 2)


@pytest.mark.parametrize("value", ["3", "[1]", '"x"'])
def test_scalar_over_a_table_names_both_places(toy, write, value):
    write("a.toml", BASE + "[child]\nneeded = 1\n")
    problem = only(write("top.toml", f'include = "a.toml"\nchild = {value}\n'))
    assert problem.code == "layer-clash"
    assert "a table in a.toml:4" in problem.message


def test_null_over_a_table_clears_it(toy, write):
    write("a.toml", BASE + "[child]\nneeded = 1\n")
    assert load(write("top.json", {"include": "a.toml", "child": None})).child is None


def test_table_over_null_is_that_table(toy, write):
    write("a.json", {"toy_type": "plain", "child": None})
    config = load(write("top.toml", 'include = "a.json"\nchild = { needed = 2 }'))
    assert config.child.needed == 2


def test_missing_key_of_an_untagged_table_is_placed_at_the_topmost_header(toy, write):
    write("a.toml", BASE + "[child]\ndepth = 2\n")
    problem = only(write("top.toml", 'include = "a.toml"\n\n[child]\ndepth = 3\n'))
    assert (problem.file, problem.line) == ("top.toml", 3)


# -------------------------------------------------------------------------------------- properties

keys = st.sampled_from(["label", "shape", "child", "kind", "toy_type", "config", "numbers", "seed"])
scalars = st.one_of(st.none(), st.integers(0, 3), st.sampled_from(["circle", "square", "plain"]))
trees = st.recursive(
    scalars | st.lists(scalars, max_size=2),
    lambda inner: st.dictionaries(keys, inner, max_size=4),
    max_leaves=10,
)
tables = st.dictionaries(keys, trees, max_size=5)


def folded_of(*contents, toy=None):
    named = [
        layers.Layer(document.Document(Source(name=f"<{n}>"), content))
        for n, content in enumerate(contents)
    ]
    return layers.fold(named, schema.struct_slot(toy) if toy else None)


def containers(value):
    if isinstance(value, dict | list):
        yield id(value)
        for item in value.values() if isinstance(value, dict) else value:
            yield from containers(item)


@given(st.lists(tables, min_size=1, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_fold_leaves_its_inputs_unchanged_and_shares_nothing(toy, contents):
    before = copy.deepcopy(contents)
    folded = folded_of(*contents, toy=toy.Toy)
    assert contents == before
    given_ones = {found for content in contents for found in containers(content)}
    assert not given_ones & set(containers(folded.tree))


@given(tables)
def test_fold_of_one_layer_is_that_layer(content):
    folded = folded_of(content)
    assert folded.tree == content
    assert folded.problems == []


@given(tables)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_fold_of_a_layer_with_itself_changes_nothing(toy, content):
    assert folded_of(content, content, toy=toy.Toy).tree == content


def leaves(value, path=()):
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    else:
        yield path, value


@given(tables, tables)
def test_every_leaf_is_traced_to_the_layer_that_has_it(one, two):
    folded = folded_of(one, two)
    contents = {"<0>": one, "<1>": two}
    for path, value in leaves(folded.tree):
        origin = folded.trace.find(path)
        found = contents[origin.source.name]
        for key in origin.path:
            found = found[key]
        assert found == value or (found == {} and value == {})


def test_expand_of_a_document_that_includes_nothing_is_itself(write):
    found = document.read(write("a.toml", "x = 1"))
    (layer,) = layers.expand(found)
    assert layer.content() == {"x": 1}


def test_expand_raises_with_every_problem(write):
    found = document.read(write("a.toml", 'include = ["b.toml", "c.toml"]'))
    with pytest.raises(DocumentError) as caught:
        layers.expand(found)
    assert len(caught.value.problems) == 2


def test_trace_of_what_nobody_set_apart_is_the_whole_ones():
    trace = Trace(Origin(Source(name="a"), ("x",)), children={})
    assert trace.find(("y", 0)).path == ("x", "y", 0)
    assert trace.find_last(("y",)).path == ("x", "y")


def test_merge_by_itself_lays_one_table_on_another():
    here = Origin(Source(name="a"))
    folded = Folded(tree={"a": {"b": 1}}, trace=Trace(here, children={}))
    layers.merge(folded, {"a": {"c": 2}}, lambda path: Origin(Source(name="b"), path))
    assert folded.tree == {"a": {"b": 1, "c": 2}}
    assert folded.trace.find(("a", "b")).source.name == "a"
    assert folded.trace.find(("a", "c")).source.name == "b"


def test_trace_remembers_what_was_replaced(toy, write):
    write("a.toml", BASE + "numbers = { a = 1 }")
    name = write("top.toml", 'include = "a.toml"\nnumbers = { a = 2 }\n')
    trace = loading.check(name, ["numbers.a=3"]).folded.trace.children["numbers"].children["a"]
    places = []
    while trace is not None:
        places.append(trace.origin.place())
        trace = trace.previous
    assert places == ["--override 'numbers.a=3'", "top.toml:2", "a.toml:4"]
