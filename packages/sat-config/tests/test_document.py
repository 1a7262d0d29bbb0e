import json
import math
import time

import pytest

import sat_config
from sat_config import document
from sat_config.document import DocumentError


def refused(name):
    with pytest.raises(DocumentError) as caught:
        document.read(name)
    return caught.value.problems


def only(name):
    (problem,) = refused(name)
    return problem


def test_read_toml_and_json_give_the_same_table(write):
    toml = document.read(write("a.toml", 'x = 1\n[t]\ny = ["é", 2.5, true]\n'))
    same = document.read(write("a.json", {"x": 1, "t": {"y": ["é", 2.5, True]}}))
    assert toml.data == same.data == {"x": 1, "t": {"y": ["é", 2.5, True]}}
    assert (toml.source.folder, toml.source.language) == (".", "toml")
    assert (same.source.folder, same.source.language) == (".", "json")


def test_suffix_may_be_in_capitals(write):
    assert document.read(write("A.JSON", '{"x": 1}')).data == {"x": 1}


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfx = 1\r\ny = 2\r\n", b"x = 1\ny = 2"])
def test_byte_order_mark_and_crlf_make_no_difference(write, content):
    found = document.read(write("a.toml", content))
    assert found.data == {"x": 1, "y": 2}
    assert found.source.locate(("y",)) == (2, 1, "y = 2")


def test_directory_is_refused(here):
    (here / "d.toml").mkdir()
    assert only("d.toml").message == "this is a folder, not a file"


def test_missing_file_names_a_near_one(write):
    write("models/vae_small.toml", "x = 1")
    problem = only("models/vae_smal.toml")
    assert (problem.code, problem.message) == ("missing-file", "there is no such file")
    assert problem.suggestion == "models/vae_small.toml"


def test_missing_file_in_a_missing_folder_is_refused(here):
    assert only("no/where.toml").suggestion is None


def test_name_that_no_file_can_have_is_refused(here):
    assert only("a\0b.toml").code == "unreadable"


def test_name_that_is_too_long_is_refused(here):
    assert only("x" * 5000 + ".toml").message == "cannot be read: File name too long"


@pytest.mark.parametrize("name", ["a.yam", "yaml", "a", "a.toml.bak", ""])
def test_other_suffix_is_refused(here, name):
    problem = only(name)
    assert problem.code == "unknown-format"
    assert "not .toml, .json, .yaml or .ini" in problem.message
    assert problem.suggestion == "write it as TOML or JSON; the suffix says which it is"


def test_mistyped_suffix_gets_the_file_that_is_there(here):
    (here / "mine.toml").write_text("seed = 1")
    problem = only("mine.tml")
    assert (problem.code, problem.suggestion) == ("missing-file", "mine.toml")


def test_override_without_its_flag_is_recognised(here):
    problem = only("batch_size=3")
    assert (problem.code, problem.suggestion) == ("missing-file", "--override 'batch_size=3'")


@pytest.mark.parametrize("content", [b"", b" \n\t\r\n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["a.toml", "a.json"])
def test_empty_file_is_refused(write, name, content):
    assert only(write(name, content)).message == "the file is empty"


def test_invalid_utf8_names_the_line(write):
    problem = only(write("a.toml", b"x = 1\ny = '\xff'\n"))
    assert problem.message == "byte 11 (line 2) is not UTF-8 text"
    assert problem.suggestion == "save the file as UTF-8"


def test_utf16_is_refused(write):
    assert only(write("a.toml", "x = 1".encode("utf-16"))).code == "not-utf8"


def test_toml_syntax_error_has_its_place(write):
    problem = only(write("a.toml", "x = 1\r\ny = \r\nz = 3\r\n"))
    assert (problem.code, problem.message) == ("syntax", "not valid TOML: invalid value")
    assert (problem.line, problem.column, problem.source_line) == (2, 5, "y = ")


def test_toml_syntax_error_at_the_end_has_its_place(write):
    problem = only(write("a.toml", "x = 1\ny = ["))
    assert (problem.line, problem.column, problem.source_line) == (2, 6, "y = [")


def test_toml_duplicate_key_has_its_place(write):
    problem = only(write("a.toml", "x = 1\n[t]\n[t]\n"))
    assert (problem.line, problem.message) == (3, "not valid TOML: cannot declare ('t',) twice")


@pytest.mark.parametrize("text", ['{"a": 1,}', '{"a": [1,]}', '{"a": 1 // x\n}', "{'a': 1}", "{"])
def test_json_syntax_error_has_its_place(write, text):
    problem = only(write("a.json", text))
    assert problem.code == "syntax"
    assert problem.message.startswith("not valid JSON: ")
    assert problem.line is not None
    assert problem.source_line is not None


def test_json_syntax_error_counts_lines_as_editors_do(write):
    problem = only(write("a.json", '{"a": "\u2028\x85",\n"b": x}'))
    assert (problem.line, problem.source_line) == (2, '"b": x}')


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[1]", "a list"),
        ("3", "an integer"),
        ("null", "null"),
        ('"x"', "text"),
        ("true", "a truth"),
    ],
)
def test_json_root_that_is_no_table_is_refused(write, text, kind):
    problem = only(write("a.json", text))
    assert problem.code == "not-a-table"
    assert kind in problem.message


def test_json_duplicate_keys_point_at_the_repeats(write):
    text = '{\n "a": {"k": "k"},\n "b": {"k": 1,\n  "k": 2},\n "\\u0061": 3\n}'
    first, second = refused(write("a.json", text))
    assert (first.code, first.path, first.line, first.column) == ("duplicate-key", ("b", "k"), 4, 3)
    assert (second.path, second.line) == (("a",), 5)
    assert first.message == "the key 'k' is given twice in one table"


def test_json_with_many_duplicates_is_refused_soon(write):
    text = "{" + ", ".join(f'"k{i % 10000}": {i}' for i in range(20000)) + "}"
    name = write("a.json", text)
    start = time.perf_counter()
    assert len(refused(name)) == 10000
    assert time.perf_counter() - start < 20


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_json_number_that_is_not_finite_is_refused(write, value):
    problem = only(write("a.json", f'{{"a": 1,\n "b": [0, {value}]}}'))
    assert (problem.code, problem.path) == ("not-finite", ("b", 1))
    assert (problem.line, problem.column) == (2, 11)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
def test_toml_number_that_is_not_finite_is_refused(write, value):
    problem = only(write("a.toml", f"[t]\na = {{ b = {value} }}\n"))
    assert (problem.code, problem.path) == ("not-finite", ("t", "a", "b"))
    assert (problem.line, problem.column) == (2, 11)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("1979-05-27", "date"),
        ("1979-05-27T07:32:00Z", "datetime"),
        ("1979-05-27 07:32:00", "datetime"),
        ("07:32:00", "time"),
    ],
)
def test_toml_date_is_refused(write, value, kind):
    problem = only(write("a.toml", f"a = {value}"))
    assert (problem.code, problem.message) == (
        "not-plain",
        f"this is a {kind}, which no key accepts",
    )
    assert problem.suggestion.endswith('" (quoted, as text)')


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**40])
@pytest.mark.parametrize("name", ["a.toml", "a.json"])
def test_integer_beyond_64_bits_is_refused(write, name, number):
    problem = only(write(name, f'{{"a": {number}}}' if "json" in name else f"a = {number}"))
    assert (problem.code, problem.path, problem.line) == ("bad-number", ("a",), 1)


def test_integers_of_64_bits_are_read(write):
    data = {"a": 2**63 - 1, "b": -(2**63)}
    assert document.read(write("a.json", data)).data == data


@pytest.mark.parametrize("name", ["a.toml", "a.json"])
def test_number_of_5000_digits_is_refused_at_its_place(write, name):
    digits = "1" * 5000
    text = f'{{"b": 1,\n"a": {digits}}}' if "json" in name else f"b = 1\na = {digits}"
    problem = only(write(name, text))
    assert (problem.code, problem.line) == ("bad-number", 2)


@pytest.mark.parametrize("text", [r'{"a": "\ud800"}', r'{"\udfff": 1}', r'{"a": ["\ud800x"]}'])
def test_half_a_surrogate_pair_is_refused(write, text):
    problem = only(write("a.json", text))
    assert "half of a surrogate pair" in problem.message
    problem.message.encode()


def test_whole_surrogate_pair_is_one_character(write):
    found = document.read(write("a.json", r'{"\ud83d\ude00": 1}'))
    assert found.data == {"😀": 1}
    assert found.source.locate(("😀",))[1] == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"a":' * 10000 + "1" + "}" * 10000),
        ("b.json", '{"a":' + "[" * 10000 + "]" * 10000 + "}"),
        ("c.json", '{"n": NaN, "a":' + "[" * 600 + "]" * 600 + "}"),
        ("d.json", '{"a":' + "[" * 200 + "]" * 200 + "}"),
        ("a.toml", "a = " + "[" * 10000 + "]" * 10000),
        ("b.toml", "a = " + "{a = " * 10000 + "1" + "}" * 10000),
        ("c.toml", "a." * 3000 + "a = 1"),
        ("d.toml", "[" + "a." * 10000 + "a]"),
        ("e.toml", "a = " + "[" * 200 + "]" * 200),
    ],
)
def test_extreme_nesting_is_refused(write, name, text):
    (problem, *_) = refused(write(name, text))
    assert problem.code == "too-deep"
    assert "nested more than 100 deep" in problem.message


def test_nesting_of_99_is_read(write):
    text = '{"a":' + "[" * 99 + "]" * 99 + "}"
    assert document.read(write("a.json", text)).data == json.loads(text)


@pytest.mark.parametrize("kind", ["wide", "rows", "line"])
def test_large_file_is_read_in_reasonable_time(write, kind):
    data = {
        "wide": {f"key{i}": "x" * 100 for i in range(10000)},
        "rows": {"rows": [{"id": i, "path": f"/data/{i}.wav"} for i in range(20000)]},
        "line": {"text": "x" * 2_000_000},
    }[kind]
    name = write("a.json", data)
    start = time.perf_counter()
    found = document.read(name)
    assert found.data == data
    assert found.source.locate((next(iter(data)),)) is not None
    assert time.perf_counter() - start < 20


def test_endless_line_is_not_shown(write):
    problem = only(write("a.json", '{"text": "' + "x" * 20000 + '", "n": NaN}'))
    assert problem.column > 20000
    assert problem.source_line is None


def test_current_schema_version_is_taken_off(write):
    assert document.read(write("a.toml", "schema_version = 1\nx = 1")).data == {"x": 1}


@pytest.mark.parametrize("version", ["2", "0", "true", "'1'"])
def test_unknown_schema_version_is_refused(write, version):
    problem = only(write("a.toml", f"x = 1\nschema_version = {version}"))
    assert (problem.code, problem.line) == ("schema-version", 2)
    assert "reads 1 to 1" in problem.message


def test_mapping_is_a_document_too():
    found = document.from_mapping({"schema_version": 1, "a": (1, 2)}, "<here>")
    assert found.data == {"a": (1, 2)}
    assert found.source.locate(("a",)) is None


@pytest.mark.parametrize(
    "value", [math.nan, {1: 2}, {None: 1}, {1, 2}, b"x", json, {"\ud800": 1}, [2**64], object()]
)
def test_mapping_that_no_document_can_hold_is_refused(value):
    with pytest.raises(DocumentError):
        document.from_mapping({"a": value}, "<here>")


def test_mapping_that_holds_itself_is_refused():
    data = {}
    data["a"] = [data]
    with pytest.raises(DocumentError, match="nested more than 100 deep"):
        document.from_mapping(data, "<here>")


def test_mapping_is_not_changed():
    data = {"schema_version": 1, "a": {"b": [1]}}
    document.from_mapping(data, "<here>").data["c"] = 1
    assert data == {"schema_version": 1, "a": {"b": [1]}}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "a truth value"),
        (1, "an integer"),
        (1.5, "a decimal number"),
        ("", "text"),
        ([], "a list"),
        ({}, "a table"),
        (b"", "bytes"),
    ],
)
def test_kind_of_names_plain_values(value, words):
    assert document.kind_of(value) == words


def test_large_file_with_a_mistake_is_named_without_a_line(tmp_path):
    """Finding the line in text of this size would take seconds."""
    path = tmp_path / "large.json"
    path.write_text('{"model_type": "autoencoder", "x": [' + "1, " * 800_000 + "1]}")
    problem = next(p for p in sat_config.check(path).problems if p.path == ("x",))
    assert (problem.code, problem.file, problem.line) == ("unknown-key", str(path), None)
