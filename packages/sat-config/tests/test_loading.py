import json
import os
import warnings

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sat_config
from sat_config import ConfigError, ConfigWarning, loading, registry
from sat_config.loading import Report

TOP = 'toy_type = "plain"\n'


def only(name, *words):
    (problem,) = loading.check(name, words).problems
    return problem


# --------------------------------------------------------------------------------- the front doors


def test_quickstart_loads(quickstart):
    config = sat_config.load(quickstart, ["batch_size=2"])
    assert config.batch_size == 2
    assert config.model.bottleneck.encoder_channels_per_latent == 2
    assert os.path.isabs(config.dataset.datasets[0].path)


def test_every_shipped_experiment_may_run(quickstart):
    folder = os.path.dirname(quickstart)
    for name in sorted(os.listdir(folder)):
        report = sat_config.check(os.path.join(folder, name))
        assert not report.errors, (name, report.errors)


def test_check_reports_and_load_raises(toy, write):
    name = write("a.toml", TOP + "sed = 1")
    report = sat_config.check(name)
    assert report.config is None
    assert [problem.code for problem in report.errors] == ["unknown-key"]
    assert report.origins == {}
    with pytest.raises(ConfigError, match=r"a\.toml:2:1: error") as caught:
        sat_config.load(name)
    assert caught.value.problems == report.problems


def test_warnings_are_issued_at_the_callers_place(toy, write):
    name = write("a.json", {"toy_type": "plain", "_note": "x"})
    with pytest.warns(ConfigWarning) as caught:
        assert sat_config.load(name).label == ""
    assert [str(found.message) for found in caught] == [
        "a.json:1:23: '_note' is taken as a comment and not read [comment-key]"
    ]
    assert caught[0].filename == __file__


def test_load_as_reads_one_node(toy, write):
    name = write("shape.toml", 'kind = "square"\nconfig = { side = 2 }')
    assert sat_config.load_as(name, toy.Shape, ["area=3.0"]).area == 3.0
    assert sat_config.load_as(name, toy.Square).config.side == 2
    with pytest.raises(ConfigError, match="is no shape that is known here"):
        sat_config.load_as(name, toy.Shape, ["kind=blob"])


def test_load_dataset_reads_a_dataset(write, here):
    data = {"dataset_type": "audio_dir", "datasets": [{"id": "a", "path": "clips/"}]}
    found = sat_config.load_dataset(write("d/data.json", data))
    assert found.datasets[0].path == str(here / "d" / "clips")


def test_load_model_takes_broken_rules_as_warnings(quickstart):
    words = ["model.latent_dim=33"]
    with pytest.raises(ConfigError, match="SAT-E003"):
        sat_config.load(quickstart, words)
    with pytest.warns(ConfigWarning) as caught:
        assert sat_config.load_model(quickstart, words).model.latent_dim == 33
    assert any("SAT-E003" in str(found.message) for found in caught)


def test_decode_takes_plain_data(toy):
    config = sat_config.decode({"toy_type": "plain", "grid": ((1, 2), [3])})
    assert config.grid == ((1, 2), (3,))
    shape = {"kind": "circle", "config": {"radius": 1.0}}
    assert sat_config.decode(shape, toy.Shape).config.radius == 1.0
    assert sat_config.decode({"needed": 1}, toy.Child).needed == 1


def test_decode_leaves_its_argument_alone(toy):
    data = {"toy_type": "plain", "source": "x", "checks": {"allow_unknown": ["a"]}, "a": {"b": 1}}
    before = json.dumps(data)
    with pytest.warns(ConfigWarning):
        sat_config.decode(data)
    assert json.dumps(data) == before


def test_decode_reads_layers_that_the_data_names(toy, write):
    write("base.toml", "seed = 5")
    assert sat_config.decode({"toy_type": "plain", "include": "base.toml"}).seed == 5
    with pytest.raises(ConfigError, match="there is no such file"):
        sat_config.decode({"toy_type": "plain", "include": "gone.toml"})


def test_decode_says_what_is_wrong(toy):
    with pytest.raises(ConfigError, match="<mapping>: error"):
        sat_config.decode({"toy_type": "plain", "seed": -1})
    with pytest.raises(ConfigError, match="nan is not a number"):
        sat_config.decode({"toy_type": "plain", "seed": float("nan")})


def test_validate_checks_what_was_made_in_python(toy):
    assert sat_config.validate(toy.PlainToy(seed=1)).errors == ()
    report = sat_config.validate(toy.PlainToy(seed=-1, shape=toy.Circle(config=3)))
    assert sorted(problem.path for problem in report.errors) == [("seed",), ("shape", "config")]
    assert report.errors[0].file == "<python>"


@pytest.mark.parametrize("value", [object(), float("nan"), 2**70, {"a": {1, object()}}])
def test_validate_refuses_what_no_document_can_hold(toy, value):
    assert sat_config.validate(toy.PlainToy(label=value)).errors


def test_report_without_problems_hands_out_the_configuration():
    assert Report(config=3).require() == 3
    assert Report(config=3).origins == {}


# ----------------------------------------------------------------------------- which root it is


def test_document_without_root_tag_names_the_families(toy, write):
    problem = only(write("a.toml", "seed = 1"))
    assert problem.code == "no-root-tag"
    assert problem.message == "the document has no toy_type: nothing says what it configures"
    assert problem.allowed == "toy_type (plain, other)"
    assert (problem.note, problem.suggestion) == (None, None)
    assert only(write("a.toml", "type = 1\nshape = {}")).suggestion != "toy_type in place of shape"
    problem = only(write("a.toml", 'toytype = "plain"'))
    assert problem.suggestion == "toy_type in place of toytype"


def test_part_of_an_experiment_is_recognised_and_told_where_it_goes(toy, write):
    problem = only(write("a.toml", 'kind = "circle"'))
    assert problem.note == "this looks like a shape (circle), which is a part of an experiment"
    line = 'include = [{ path = "a.toml", at = "shape" }]'
    assert problem.suggestion == f"in an experiment's file, {line}"
    experiment = f'toy_type = "plain"\n{line}\nshape.config = {{ radius = 1.0 }}'
    assert sat_config.load(write("b.toml", experiment)).shape.config.radius == 1.0


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"dataset_type": "audio_dir"}', 'dataset_config = "a.json"'),
        ('{"type": "vae"}', 'include = [{ path = "a.json", at = "model.bottleneck" }]'),
    ],
)
def test_part_of_an_audio_experiment_is_told_where_it_goes(write, text, line):
    assert only(write("a.json", text)).suggestion == f"in an experiment's file, {line}"


def test_document_of_two_families_is_refused(toy, write, monkeypatch):
    both = registry.Registry()
    both.families = {
        **toy.registry.families,
        int: registry.Family("lab", int, ("model", "name"), is_root=True, members={}, aliases={}),
    }
    monkeypatch.setattr(registry, "_current", both)
    problem = only(write("a.toml", TOP + 'model.name = "x"'))
    assert problem.message == (
        "the document has toy_type and model.name, so it could belong to several families"
    )


def test_without_families_nothing_is_a_document(write):
    with registry.fresh():
        problem = only(write("a.toml", "seed = 1"))
    assert problem.message == "no family of documents is installed"


def test_unknown_root_tag_names_the_members(toy, write):
    problem = only(write("a.toml", 'toy_type = "plane"'))
    assert (problem.code, problem.suggestion, problem.line) == ("bad-tag", '"plain"', 1)


def test_root_tag_of_a_lower_layer_counts(toy, write):
    write("a.toml", TOP)
    assert loading.check(write("top.toml", 'include = "a.toml"')).config is not None


# ------------------------------------------------------------------------------------------ paths


def test_input_paths_start_from_the_file_that_names_them(toy, write, here):
    write("deep/a.toml", TOP + 'source = "x.wav"\nsources = ["y", "/z"]\ntarget = "out"\n')
    config = loading.check(write("top.toml", 'include = "deep/a.toml"')).config
    assert config.source == str(here / "deep" / "x.wav")
    assert config.sources == (str(here / "deep" / "y"), "/z")
    assert config.target == "out"


def test_input_paths_of_overrides_start_from_the_working_directory(toy, write, here):
    name = write("deep/a.toml", TOP)
    config = loading.check(name, ["source=x.wav", 'sources=["y"]', "target=../out"]).config
    assert config.source == str(here / "x.wav")
    assert config.sources == (str(here / "y"),)
    assert config.target == "../out"


def test_input_paths_of_a_files_own_overrides_start_from_the_file(toy, write, here):
    name = write("deep/a.toml", 'overrides = ["source=x.wav"]\n' + TOP)
    assert loading.check(name).config.source == str(here / "deep" / "x.wav")


def test_home_is_expanded(toy, write, here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    assert loading.check(write("a.toml", TOP + 'source = "~/x"')).config.source == str(here / "x")


def test_checkpoint_lies_beside_the_file_or_else_below_the_working_directory(toy, write, here):
    name = write("deep/a.toml", TOP + 'weights = "runs/one/latest"')
    assert loading.check(name).config.weights == str(here / "runs" / "one" / "latest")
    write("deep/runs/one/latest", "x")
    assert loading.check(name).config.weights == str(here / "deep" / "runs" / "one" / "latest")


def test_path_that_is_no_text_is_a_problem_like_any_other(toy, write):
    assert only(write("a.toml", TOP + "source = 3")).path == ("source",)


# ---------------------------------------------------------------------------------------- origins


def test_origins_name_the_place_of_every_leaf(toy, write):
    write("shape.toml", 'area = 3.0\nkind = "square"\n[config]\nside = 1\n')
    write("base.json", {"label": "x", "parts": [{"type": "nut", "id": "n"}]})
    name = write("top.toml", """\
include = ["base.json", { path = "shape.toml", at = "shape" }]
toy_type = "plain"
[shape.config]
radius = 2.0
[[numbers]]
""".replace("[[numbers]]\n", "[numbers]\na = 1\n"))  # fmt: skip
    origins = loading.check(name, ["seed=1", "shape.area=9"], [write("l.toml", "val_every = 1")])
    found = {path: place for path, place in origins.origins.items() if place != "default"}
    assert found == {
        "toy_type": "top.toml:2",
        "label": "base.json:1",
        "parts[0].type": "base.json:1",
        "parts[0].id": "base.json:1",
        "shape.kind": "shape.toml:2",
        "shape.area": "--override 'shape.area=9'",
        "shape.config.side": "shape.toml:4",
        "shape.config.radius": "top.toml:4",
        "numbers.a": "top.toml:6",
        "seed": "--override 'seed=1'",
        "val_every": "l.toml:1",
    }
    assert origins.origins["batch_size"] == "default"
    assert origins.origins["parts[0].holds"] == "default"
    assert origins.origins["sources"] == "default"


# ------------------------------------------------------------------------------ accepted unknowns


def test_accepted_unknown_keys_are_kept_and_listed(toy, write):
    text = TOP + (
        'extra = { a = [1] }\nchecks.allow_unknown = ["extra", "child.more", "gone"]\n'
        "[child]\nneeded = 1\nmore = 2\n"
    )
    report = loading.check(write("a.toml", text))
    assert report.config.ignored == {"extra": {"a": [1]}, "child.more": 2}
    assert [(p.code, p.severity, p.line) for p in report.problems] == [
        ("ignored-key", "warning", 2),
        ("ignored-key", "warning", 6),
    ]
    assert report.origins["ignored.extra.a[0]"] == "a.toml:2"


def test_kept_unknown_keys_are_listed_at_every_load(toy, write):
    name = write("a.toml", TOP + "ignored = { extra = 1 }\n")
    (problem,) = loading.check(name).problems
    assert (problem.code, problem.path) == ("ignored-key", ("ignored", "extra"))


@pytest.mark.parametrize(
    "path",
    [
        "seed",
        "toy_type",
        "child.needed",
        "shape.kind",
        "x.y",
        "parts[0]",
        "parts[a]",
        "parts[a].x",
        "a b",
        "",
    ],
)
def test_known_keys_and_odd_paths_cannot_be_ignored(toy, write, path):
    text = TOP + (
        f'seed = 3\nchecks.allow_unknown = [{json.dumps(path)}]\nparts = [{{ type = "nut", '
        'id = "a" }]\nchild = { needed = 1 }\nshape = { kind = "square", config.side = 1 }\n'
    )
    report = loading.check(write("a.toml", text))
    assert report.problems == ()
    assert (report.config.seed, report.config.ignored) == (3, {})


@pytest.mark.parametrize("value", ["3", '"x"', "[3]", "{}"])
def test_malformed_list_of_unknown_keys_is_a_problem(toy, write, value):
    problem = only(write("a.toml", TOP + f"checks = {{ allow_unknown = {value} }}"))
    assert problem.path[:2] == ("checks", "allow_unknown")


def test_ignored_that_is_no_table_is_a_problem(toy, write):
    name = write("a.toml", TOP + "ignored = 3\nx = 1\nchecks.allow_unknown = ['x']\n")
    assert {problem.path for problem in loading.check(name).problems} == {("ignored",), ("x",)}


def test_unknown_key_inside_an_element_may_be_accepted(toy, write):
    text = TOP + 'checks.allow_unknown = ["parts[0].x"]\n[[parts]]\nid = "n"\ntype = "nut"\nx = 1\n'
    assert loading.check(write("a.toml", text)).config.ignored == {"parts[0].x": 1}


# ----------------------------------------------------------------------------------------- at once


def test_problems_of_all_layers_and_words_come_together(toy, write):
    write("bad.toml", "x = ")
    report = loading.check(write("a.toml", 'include = "gone.toml"'), ["x y"], ["bad.toml"])
    assert [problem.code for problem in report.problems] == [
        "syntax",
        "bad-override",
        "missing-file",
    ]


def test_clash_and_faults_come_together(toy, write):
    write("base.toml", TOP + "child = 3\nsed = 1\n")
    report = loading.check(write("a.toml", 'include = "base.toml"\n[child]\nneeded = 1\n'))
    assert sorted(p.code for p in report.problems) == ["bad-value", "layer-clash", "unknown-key"]


def test_fault_that_only_msgspec_sees_is_reported_in_its_words(toy, write, monkeypatch):
    def refuse(*_):
        raise msgspec.ValidationError("no reason that anyone can see")

    monkeypatch.setattr(loading.convert, "convert", refuse)
    monkeypatch.setattr(loading.diagnose, "diagnose", lambda _: [])
    assert only(write("a.toml", TOP)).message == "no reason that anyone can see"


# ------------------------------------------------------------------------------------------ fuzzing

pieces = st.sampled_from([
    b"toy_type", b"plain", b'"', b"'", b"{", b"}", b"[", b"]", b"=", b":", b",", b"\n", b"\r\n",
    b".", b"#", b"\\u", b"\\ud800", b"null", b"NaN", b"1e999", b"1979-05-27", b"include", b"\xff",
    b"_x", b"shape", b"kind", b"seed", b"9" * 25, b"checks", b"allow_unknown", b"ignored", b"-",
    b'{"toy_type":"plain",', b'toy_type="plain"\n', b"overrides", b'["', b'"]', b"\x00", b" ",
])  # fmt: skip


@pytest.mark.parametrize("suffix", ["toml", "json"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(content=st.binary(max_size=60) | st.lists(pieces, max_size=25).map(b"".join))
def test_any_file_is_a_configuration_or_a_report(toy, write, suffix, content):
    survives(write(f"a.{suffix}", content))


trees = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from(["plain", "circle", "a.toml", "seed=3", "-label", "x", "seed"]),
    ),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from([
            "toy_type", "shape", "kind", "config", "child", "include", "path", "take", "at", "seed",
            "overrides", "checks", "allow", "allow_unknown", "ignored", "model_config", "source",
            "schema_version", "parts", "_x", "label", "numbers",
        ]) | st.text(max_size=3),
        inner,
        max_size=5,
    ),
    max_leaves=15,
)  # fmt: skip
tables = st.dictionaries(
    st.sampled_from(["shape", "child", "include", "overrides", "checks", "parts", "ignored", "seed",
                     "numbers", "dataset_config", "source", "grid", "schema_version"]),
    trees, max_size=5,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(tree=trees | tables.map(lambda table: {"toy_type": "plain", **table}),
       words=st.lists(st.text(max_size=12) | st.from_regex(
           r"-?(seed|shape|parts|checks|include|label)(\.[a-z]+|\[[0-9a-z]\]){0,2}(=[^\n]{0,6})?",
           fullmatch=True), max_size=3))  # fmt: skip
def test_any_tree_and_any_overrides_are_a_configuration_or_a_report(toy, write, tree, words):
    survives(write("fuzz.json", json.dumps(tree)), words)
    if isinstance(tree, dict):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                sat_config.decode(tree)
            except ConfigError as error:
                assert error.problems  # noqa: PT017 - it need not be raised


def survives(name, words=()):
    report = sat_config.check(name, words)
    assert (report.config is None) == bool(report.errors)
    sat_config.errors.render(report.problems).encode()
    msgspec.json.encode(report.problems)
    for problem in report.problems:
        assert problem.message
    if report.config is not None:
        assert report.origins
        for format in ("toml", "json"):
            sat_config.dumps(report.config, format)
