import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sat_config import loading, overrides
from sat_config.overrides import Element, OverrideError, parse, parse_path, parse_value

DOCUMENT = """\
toy_type = "plain"
label = "old"
numbers = { a = 1, "x.y" = 2 }
sources = ["one", "two"]

[shape]
kind = "circle"
area = 2.0
config = { radius = 1.0 }

[[parts]]
type = "bolt"
id = "first"

[[parts]]
type = "nut"
id = "part.two"

[[parts]]
type = "bolt"
id = "third"
size = 7
"""


@pytest.fixture
def top(toy, write):
    return write("top.toml", DOCUMENT)


def load(name, *words):
    report = loading.check(name, words)
    assert report.problems == (), report.problems
    return report.config


def only(name, *words):
    (problem,) = loading.check(name, words).problems
    return problem


# ---------------------------------------------------------------------------------------- grammar


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", ("a",)),
        ("a.b-c.d_1", ("a", "b-c", "d_1")),
        ('a["b.c"].d', ("a", "b.c", "d")),
        ('["a"]["b"]', ("a", "b")),
        ("a[0][12]", ("a", 0, 12)),
        ("a[my id]", ("a", Element("my id"))),
        ("a[]", ("a", Element(""))),
        ("a[-1]", ("a", Element("-1"))),
        ("a[²]", ("a", Element("²"))),
        ("größe", ("größe",)),
    ],
)
def test_path_is_read(text, path):
    assert parse_path(f"{text} = 3") == (path, "= 3")
    assert parse(f"{text}=3").path == path
    assert parse(f"-{text}").path == path
    assert parse(f"-{text}").value is None


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("", "an override starts with the path of a key, such as training.learning_rate"),
        ("=3", "an override starts with the path of a key, such as training.learning_rate"),
        (".a=3", "an override starts with the path of a key, such as training.learning_rate"),
        ("-", "an override starts with the path of a key, such as training.learning_rate"),
        ("a", "expected path=VALUE or -path; there is no '='"),
        ("a b=1", "expected path=VALUE or -path; 'b=1' follows the path"),
        ("a[0]b=1", "expected path=VALUE or -path; 'b=1' follows the path"),
        ("a.=3", "a key is missing after 'a.'"),
        ("a..b=3", "a key is missing after 'a.'"),
        ("a[0=3", "the bracket at '[0=3' is not closed"),
        ('a["b]=3', "the bracket at '[\"b]=3' is not closed"),
        ("-a=3", "a removal is '-path' and nothing else; '=3' is left over"),
        ("a." * 200 + "a=1", "the path has more than 100 parts"),
    ],
)
def test_word_that_is_no_override_is_refused(word, message):
    with pytest.raises(OverrideError) as caught:
        parse(word)
    assert str(caught.value) == message


@given(st.text(max_size=30) | st.from_regex(r"-?[ab.\[\]\"0-9=]{0,12}", fullmatch=True))
def test_any_word_is_an_override_or_refused(word):
    with contextlib.suppress(OverrideError):
        assert parse(word).path


# ----------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-4", 1e-4),
        ("true", True),
        ("[1, [2]]", [1, [2]]),
        ("{ a = 1 }", {"a": 1}),
        ("'a b'", "a b"),
        ('"a#b"', "a#b"),
        ("word", "word"),
        ("a/b-c.wav", "a/b-c.wav"),
        (".5", ".5"),
        ("True", "True"),
    ],
)
def test_value_is_toml_or_a_bare_word(text, value):
    assert parse_value(text, None) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no value after '='"),
        (
            "a b",
            "'a b' is not a TOML value; quote text that is more than a word",
        ),
        (
            "[1",
            "'[1' is not a TOML value; quote text that is more than a word",
        ),
        ("3 # three", "'3 # three' is more than one TOML value"),
        ("'a' # b", "\"'a' # b\" is more than one TOML value"),
        ("1\nb = 2", "'1\\nb = 2' is more than one TOML value"),
        ("nan", "'nan': nan is not a number that can be used"),
        ("[inf]", "'[inf]': inf is not a number that can be used"),
        ("1979-05-27", "'1979-05-27': this is a date, which no key accepts"),
        ("18446744073709551616", "'18446744073709551616': this integer does not fit in 64 bits"),
    ],
)
def test_value_that_no_configuration_holds_is_refused(text, message):
    with pytest.raises(OverrideError) as caught:
        parse_value(text, None)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["[" * 5000, "[" * 200 + "]" * 200, "1" * 5000])
def test_extreme_value_is_refused_in_few_words(top, text):
    problem = only(top, f"batch_size={text}")
    assert problem.code == "bad-override"
    assert len(problem.message) < 200
    assert len(problem.place()) < 200


@pytest.mark.parametrize(
    "text", ["3", "true", "a b  c", "x # y", "[1", "1979-05-27", "it's", "", "{ a = 1 }", "null"]
)
def test_text_slot_takes_what_is_unquoted_as_it_is(top, text):
    assert load(top, f"label={text}").label == text


def test_text_slot_takes_quoted_text_without_the_quotes(top):
    assert load(top, 'label="a\\tb"').label == "a\tb"
    assert load(top, "label='3'").label == "3"


def test_text_slot_refuses_what_follows_a_quoted_text(top):
    assert only(top, "label='a' # b").code == "bad-override"


def test_choice_of_words_is_a_text_slot(top):
    assert load(top, "mode=fast").mode == "fast"
    assert load(top, "count=auto").count == "auto"
    assert load(top, "count=3").count == 3


def test_text_with_half_a_surrogate_pair_is_refused(top):
    assert "half of a surrogate pair" in only(top, "label=\udcff").message


# --------------------------------------------------------------------------------- set and remove


def test_later_overrides_win(top):
    assert load(top, "seed=1", "seed=2").seed == 2


def test_quoted_key_is_one_key(top):
    assert load(top, 'numbers["x.y"]=5').numbers == {"a": 1, "x.y": 5}


def test_table_value_replaces(top):
    assert load(top, "numbers={ b = 3 }").numbers == {"b": 3}


def test_tables_on_the_way_are_made(top):
    config = load(top, "child.needed=3", "child.shape.kind=square", "child.shape.config.side=2")
    assert config.child.shape.config.side == 2


def test_element_is_named_by_index_or_id(top):
    assert load(top, "parts[2].size=3").parts[2].size == 3
    assert load(top, "parts[third].size=4").parts[2].size == 4
    assert load(top, "parts[part.two].holds=m4").parts[1].holds == "m4"
    assert load(top, "sources[1]=three").sources[0].endswith("one")
    assert load(top, "sources[1]=three").sources[1].endswith("three")


def test_tag_change_drops_the_foreign_keys(top, toy):
    config = load(top, "shape.kind=square", "shape.config.side=2")
    assert config.shape == toy.Square(area=2.0, config=toy.SquareConfig(side=2))


def test_removal_takes_the_key_away(top):
    assert load(top, "-shape").shape is None
    assert load(top, "-shape.area").shape.area == 1.0
    assert load(top, '-numbers["x.y"]').numbers == {"a": 1}


def test_removal_of_an_element_moves_the_rest_up(top):
    config = load(top, "-parts[0]", "parts[1].size=9", "-parts[part.two]")
    assert [(part.id, part.size) for part in config.parts] == [("third", 9)]


def test_what_moved_up_keeps_its_origin(top):
    words = ["-parts[0]", "parts[1].size=0"]
    problem = only(top, *words)
    assert (problem.path, problem.file) == (("parts", 1, "size"), "--override 'parts[1].size=0'")
    origins = loading.check(top, ["-parts[0]"]).origins
    assert origins["parts[0].id"] == "top.toml:17"
    assert origins["parts[1].size"] == "top.toml:22"
    origins = loading.check(top, ["parts[2].size=1", "-parts[0]", "-parts[0]"]).origins
    assert origins["parts[0].size"] == "--override 'parts[2].size=1'"
    assert origins["parts[0].id"] == "top.toml:21"


def test_removal_of_the_last_element_leaves_the_others(top):
    origins = loading.check(top, ["-parts[2]", "-parts[1]"]).origins
    assert [path for path in origins if path.startswith("parts")] == [
        "parts[0].type",
        "parts[0].id",
        "parts[0].size",
    ]


def test_missing_key_of_a_table_made_by_an_override_points_at_the_override(top):
    problem = only(top, "child.depth=3")
    assert (problem.code, problem.path) == ("missing-key", ("child", "needed"))
    assert problem.file == "--override 'child.depth=3'"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("-gone", "there is no gone to remove"),
        ("-shape.gone", "there is no shape.gone to remove"),
        ("-child.shape.kind", "there is no child to remove from"),
        ("-parts[9]", "parts has 3 elements, counted from 0"),
        ("parts[9].size=1", "parts has 3 elements, counted from 0"),
        (
            "parts[x].size=1",
            "no element of parts has the id 'x'; ids: 'first', 'part.two', 'third'",
        ),
        ("sources[x]=1", "no element of sources has the id 'x'; ids: none"),
        ("parts.size=1", "parts is a list; name an element as parts[0]"),
        ("shape[0]=1", "shape is a table, not a list; name a key of it"),
        ("[0]=1", "(root) is a table, not a list; name a key of it"),
        ("label.x=1", "label is text, not a table"),
    ],
)
def test_path_that_leads_nowhere_is_refused(top, word, message):
    problem = only(top, word)
    assert (problem.code, problem.message) == ("bad-override", message)
    assert problem.file == f"--override {word!r}"


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("-labl", "-label"),
        ("-shape.aera", "-shape.area"),
        ("parts[thirdd].size=1", "parts[third]"),
        ("+seed=1", "seed=1"),
        ("++shape.area=1", "shape.area=1"),
        ("~label", "-label"),
        ("~label=old", "-label"),
    ],
)
def test_word_that_is_nearly_right_is_told_what_was_meant(top, word, meant):
    problem = only(top, word)
    assert (problem.code, problem.suggestion) == ("bad-override", meant)


def test_unknown_path_names_what_there_is_and_the_nearest(top):
    problem = only(top, "shape.aera=1")
    assert problem.message == "shape has no key 'aera'"
    assert problem.allowed == "area, config, kind"
    assert problem.suggestion == "shape.area"


def test_unknown_root_key_is_refused(top):
    problem = only(top, "sed=1")
    assert problem.message == "the experiment has no key 'sed'"
    assert problem.suggestion == "seed"


def test_key_below_what_is_no_table_is_refused(toy, write):
    name = write("a.json", {"toy_type": "plain"})
    problem = only(name, "flag.x=1")
    assert problem.message == "flag is not a table and has no 'x'"


def test_unknown_path_that_the_document_accepts_is_set(toy, write):
    name = write("a.toml", 'toy_type = "plain"\nchecks = { allow_unknown = ["extra"] }\n')
    report = loading.check(name, ["extra=3"])
    assert report.config.ignored == {"extra": 3}
    assert [problem.code for problem in report.problems] == ["ignored-key"]


def test_several_bad_overrides_are_all_reported(top):
    found = loading.check(top, ["x", "sed=1", "-gone", "seed=[1"]).problems
    assert [problem.found for problem in found] == ["x", "sed=1", "-gone", "seed=[1"]


@pytest.mark.parametrize(
    ("word", "column"),
    [
        ("sed=1", 1),
        ("child.dept=1", 7),
        ('children["a.b"].need=1', 17),
        ("parts[gone].size=1", 6),
        ("label.x=1", 1),
        ("-child.depth.x", 8),
        ("-gone", 2),
        ("seed", 5),
        ("seed 1=2", 6),
        ("child..x=1", 7),
        ("seed=[1", 6),
        ("seed= 1 2", 7),
        ("seed=1 # why", 6),
        ('seed="x"', 6),
        ("seed=-1", 6),
        ("child={needed=1, depth=0}", 24),
        ('parts=[{type="bolt", id="a", size="x"}]', 35),
        ("shape.kind=blob", 12),
    ],
)
def test_mistake_in_an_override_is_pointed_at(toy, write, word, column):
    name = write("a.toml", 'toy_type = "plain"\nlabel = "x"\nshape.kind = "circle"\n'
                 "[shape.config]\nradius = 1.0\n[child]\nneeded = 1\n"
                 '[[parts]]\ntype = "bolt"\nid = "a"\n[children."a.b"]\nneeded = 1\n')  # fmt: skip
    (problem,) = loading.check(name, [word]).problems
    assert (problem.file, problem.line) == (f"--override {word!r}", None)
    assert (problem.column, problem.source_line) == (column, word)


def test_extreme_words_are_located_without_being_scanned():
    for value in ("[" * 5000, "1" * 5000, "[x", '"'):
        assert overrides.origin_of(f"a={value}").source.locate(("x",)) == (None, 3, f"a={value}")


# -------------------------------------------------------------------------- a file's own overrides


def test_files_own_overrides_are_applied_before_the_command_lines(toy, write):
    write("a.toml", 'overrides = ["seed=5", "label=a"]\n')
    text = 'include = "a.toml"\noverrides = ["parts[first].size=2", "label=b"]\n' + DOCUMENT
    config = load(write("top.toml", text), "label=c")
    assert (config.seed, config.parts[0].size, config.label) == (5, 2, "c")


def test_bad_override_of_a_file_points_at_its_entry(toy, write):
    text = 'overrides = [\n  "seed=1",\n  "sed=2",\n  "x y",\n  3,\n]\n' + DOCUMENT
    found = loading.check(write("top.toml", text)).problems
    assert [(problem.line, problem.column) for problem in found] == [(4, 3), (5, 3), (3, 3)]


def test_single_override_of_a_file_needs_no_list(toy, write):
    assert load(write("top.toml", 'overrides = "seed=3"\n' + DOCUMENT)).seed == 3


def test_overrides_of_a_mounted_file_move_with_it(toy, write):
    write("m.toml", 'overrides = ["box.shape.config.side=4", "label=no"]\n[box.shape]\n'
          'kind = "square"\nconfig = { side = 3 }\n')  # fmt: skip
    text = 'toy_type = "plain"\n' + (
        'include = [{ path = "m.toml", take = "box", at = "child" }]\n[child]\nneeded = 1\n'
    )
    config = load(write("top.toml", text))
    assert (config.child.shape.config.side, config.label) == (4, "")


# --------------------------------------------------------------------- overrides of the layer keys


def test_include_of_the_command_line_starts_from_the_working_directory(toy, write):
    write("x.toml", "seed = 8")
    write("sub/x.toml", "seed = 9")
    name = write("sub/top.toml", DOCUMENT)
    assert load(name, 'include=["x.toml"]').seed == 8
    assert load(name, "include=x.toml").seed == 8
    assert load(name, 'include={ path = "x.toml" }').seed == 8


def test_include_of_the_command_line_replaces_the_files(toy, write):
    write("sub/y.toml", "seed = 1\nbatch_size = 1")
    write("x.toml", "seed = 8")
    name = write("sub/top.toml", 'include = ["y.toml"]\n' + DOCUMENT)
    config = load(name, "include=x.toml")
    assert (config.seed, config.batch_size) == (8, 4)


def test_one_include_of_the_list_may_be_replaced(toy, write):
    write("sub/y.toml", "batch_size = 1")
    write("sub/z.toml", "seed = 1")
    write("x.toml", "seed = 8")
    name = write("sub/top.toml", 'include = ["y.toml", "z.toml"]\n' + DOCUMENT)
    config = load(name, "include[1]=x.toml")
    assert (config.seed, config.batch_size) == (8, 1)


def test_parts_of_an_include_may_be_replaced(toy, write):
    write("box.toml", "a = { kind = 'square', config = { side = 1 } }\n"
          "b = { kind = 'square', config = { side = 2 } }\n")  # fmt: skip
    text = 'include = [{ path = "gone.toml", take = "a", at = "child.shape" }]\n'
    name = write("sub/top.toml", text + 'toy_type = "plain"\n[child]\nneeded = 1\n')
    config = load(name, "include[0].path=box.toml", "include[0].take=b")
    assert config.child.shape.config.side == 2


def test_include_may_be_removed_again(toy, write):
    name = write("top.toml", DOCUMENT)
    assert load(name, "include=gone.toml", "-include").label == "old"


def test_preset_of_the_command_line_stays_a_preset(toy, write):
    problem = only(write("sub/top.toml", DOCUMENT), "include=sat:none")
    assert problem.code == "unknown-preset"


@pytest.mark.parametrize("word", ['model_config="a', "-include", "include[0]=x", "include"])
def test_bad_override_of_a_layer_key_is_refused(top, word):
    assert only(top, word).code == "bad-override"


def test_overrides_of_the_overrides_are_no_files(top):
    assert load(top, 'overrides=["seed=3"]').seed == 3


def test_problem_carries_the_suggestion():
    error = OverrideError("no", suggestion="yes")
    found = overrides.problem("a=1", error, overrides.origin_of("a=1"))
    assert (found.message, found.suggestion, found.found) == ("no", "yes", "a=1")
