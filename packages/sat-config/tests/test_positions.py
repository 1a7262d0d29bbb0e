import contextlib
import importlib
import json
import os
import pathlib
import re
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sat_config import positions

# ------------------------------------------------------------------ documents, written every way

texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x7f")
    | st.sampled_from("\"'\\#,]}=[{\n\t\r."),
    max_size=8,
)
scalars = st.one_of(
    texts,
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
tables = st.dictionaries(texts, values, max_size=4)


def paths_of(value, path=()):
    yield path
    pairs = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        pairs = enumerate(value)
    for key, item in pairs:
        yield from paths_of(item, (*path, key))


def value_at(data, path):
    for key in path:
        data = data[key]
    return data


@st.composite
def json_texts(draw):
    def blank():
        return draw(st.sampled_from(["", " ", "\n", "\r\n", "\t"]))

    def put(value):
        if isinstance(value, dict):
            inner = ",".join(
                f"{blank()}{text(key)}{blank()}:{blank()}{put(item)}{blank()}"
                for key, item in value.items()
            )
            return f"{{{blank() if not value else ''}{inner}}}"
        if isinstance(value, list):
            return f"[{','.join(blank() + put(item) + blank() for item in value)}]"
        return text(value)

    def text(value):
        return json.dumps(value, ensure_ascii=draw(st.booleans()))

    return blank() + put(draw(tables)) + blank()


class Toml:
    """Writes a table as TOML in ways that the given draws choose."""

    def __init__(self, draw):
        self.draw = draw

    def pick(self, *options):
        return self.draw(st.sampled_from(options))

    def basic(self, text):
        out = []
        for char in text:
            if char in '"\\' or ord(char) < 32 or ord(char) == 127:
                out.append(f"\\u{ord(char):04x}" if char not in '"\\' else f"\\{char}")
            elif ord(char) > 126 and self.draw(st.booleans()):
                out.append(f"\\U{ord(char):08X}")
            else:
                out.append(char)
        return f'"{"".join(out)}"'

    def string(self, text):
        plain = all(ord(char) >= 32 or char == "\t" for char in text)
        lines = all(ord(char) >= 32 or char in "\t\n" for char in text)
        options = [self.basic(text)]
        if plain and "'" not in text:
            options.append(f"'{text}'")
        if lines and "'''" not in text:
            body = text if not text.startswith("\n") else "\n" + text
            if not text.endswith("'") or not text.endswith("'''"):
                options.append(f"'''{body}'''")
        if lines:
            body = text.replace("\\", "\\\\").replace('"""', '""\\"')
            options.append(f'"""\n{body}"""')
            options.append(f'"""\n\\\n   {self.basic(text)[1:-1]}"""')
        good = [option for option in options if self.means(option, text)]
        return self.draw(st.sampled_from(good))

    @staticmethod
    def means(option, text):
        try:
            return tomllib.loads(f"v = {option}")["v"] == text
        except tomllib.TOMLDecodeError:
            return False

    def key(self, key):
        if re.fullmatch("[A-Za-z0-9_-]+", key):
            return self.pick(key, f'"{key}"', f"'{key}'")
        if all(ord(char) >= 32 or char == "\t" for char in key) and "'" not in key:
            return self.pick(f"'{key}'", self.basic(key))
        return self.basic(key)

    def scalar(self, value):
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str):
            return self.string(value)
        if isinstance(value, int):
            return f"{value:_}" if self.draw(st.booleans()) else str(value)
        return repr(value) if "." in repr(value) or "e" in repr(value) else f"{value}.0"

    def value(self, value):
        if isinstance(value, dict):
            pairs = ", ".join(f"{self.key(k)} = {self.value(v)}" for k, v in value.items())
            return f"{{ {pairs} }}" if pairs else self.pick("{}", "{ }")
        if isinstance(value, list):
            gap = self.pick("", " ", "\n", " # note ]\n", "\r\n  ")
            inner = f",{gap}".join(self.value(item) for item in value)
            tail = self.pick("", ",") if value else ""
            return f"[{gap}{inner}{tail}{gap}]"
        return self.scalar(value)

    def table(self, data, header):
        lines, below = [], []
        for key, value in data.items():
            name = self.key(key)
            rows = isinstance(value, list) and value and all(isinstance(v, dict) for v in value)
            if isinstance(value, dict) and self.draw(st.booleans()):
                below.append((f"[{'.'.join([*header, name])}]", [*header, name], value))
            elif rows and self.draw(st.booleans()):
                title = f"[[{' . '.join([*header, name])}]]"
                below += [(title, [*header, name], row) for row in value]
            elif isinstance(value, dict) and len(value) == 1 and self.draw(st.booleans()):
                ((inner, item),) = value.items()
                lines.append(f"{name} . {self.key(inner)} = {self.value(item)}")
            else:
                lines.append(f"{name}{self.pick(' = ', '=')}{self.value(value)}")
            if self.draw(st.booleans()):
                lines[-1:] = [f"{line}{self.pick('  # x = [', '', '   ')}" for line in lines[-1:]]
        for title, path, value in below:
            lines += [
                self.pick("", "# [no.header]", f"  {title[:0]}"),
                title + self.pick("", " # c"),
            ]
            lines += self.table(value, path)
        return lines


@st.composite
def toml_texts(draw):
    writer = Toml(draw)
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = end.join(writer.table(draw(tables), []))
    return text + draw(st.sampled_from(["", end, " # end"]))


# ------------------------------------------------------------------------------------- properties


def agrees(text, language):
    data = tomllib.loads(text) if language == "toml" else json.loads(text)
    found = positions.index(text, language)
    assert set(found) == set(paths_of(data))
    for path, place in found.items():
        value = value_at(data, path)
        if not isinstance(value, dict | list):
            assert starts_with(text, place.value, value, language)
        if path and isinstance(path[-1], str):
            assert text[place.key] not in " \t\r\n="


def starts_with(text, at, value, language):
    """Whether the text from `at` on starts with a writing of the scalar `value`."""
    if language == "json":
        return json.JSONDecoder().raw_decode(text, at)[0] == value
    rest = text[at:]
    ends = [i for i in range(1, len(rest) + 1) if i == len(rest) or rest[i] in ",]} #\r\n\t\"'"]
    for end in (stop for i in ends for stop in (i, i + 1)):
        try:
            if repr(tomllib.loads(f"v = {rest[:end]}")["v"]) == repr(value):
                return True
        except tomllib.TOMLDecodeError:
            continue
    return False


@given(json_texts())
def test_json_scanner_finds_what_the_parser_finds(text):
    agrees(text, "json")


@given(toml_texts())
def test_toml_scanner_finds_what_the_parser_finds(text):
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:  # a table both dotted and with a header: no document
        return
    agrees(text, "toml")


def test_every_document_of_the_corpus_is_scanned_right(corpus):
    found = 0
    for path in corpus.rglob("*.json"):
        text = path.read_bytes().decode("utf-8-sig")
        try:
            json.loads(text)
        except ValueError:
            continue
        agrees(text, "json")
        found += 1
    assert found


def toml_suites():
    """Folders of TOML documents: of a toml-test checkout, if named, and of CPython's own tests.

    The project toml-test is on none of the registries that Python packages come from.
    """
    if given := os.environ.get("SAT_TOML_TEST_DIR"):
        yield pathlib.Path(given)
    with contextlib.suppress(ImportError):
        yield from map(pathlib.Path, importlib.import_module("test.test_tomllib").__path__)


@pytest.mark.parametrize("folder", list(toml_suites()), ids=lambda folder: folder.name)
def test_every_document_of_a_toml_suite_is_scanned_right(folder):
    found = 0
    for path in sorted(folder.rglob("*.toml")):
        try:
            text = path.read_bytes().decode("utf-8-sig")
            tomllib.loads(text)
        except ValueError:  # made to be refused
            continue
        agrees(text, "toml")
        found += 1
    assert found > 10


# --------------------------------------------------------------------------------------- examples

TOML = """\
# a comment = [with, brackets]
a.b = 1
'quo ted'."k\\u0065y" = { x = [1, { y = '''''' }], z.w = "]}#" }  # tail
[ t . "u" ]
v = \"\"\"
[not.a.table]
w = \\\"\"\"\"\"\"
dates = [1979-05-27 07:32:00, 07:32:00] # both
[[rows]]
id = 'one'
[[rows.parts]]
n = 1
[[rows.parts]]
n = 2
[[rows]]
id = 'two'
[[rows.parts]]
n = 3
[rows.more]
k = 1
"""


def test_toml_places_are_those_of_keys_and_values():
    found = positions.index(TOML, "toml")
    assert set(found) == set(paths_of(tomllib.loads(TOML)))

    def place(*path):
        key, value = found[path]
        return positions.line_and_column(TOML, key)[:2], positions.line_and_column(TOML, value)[:2]

    assert place("a") == ((2, 1), (2, 1))
    assert place("a", "b") == ((2, 1), (2, 7))
    assert place("quo ted", "key", "x", 1, "y") == ((3, 36), (3, 40))
    assert place("t", "u") == ((4, 1), (4, 1))
    assert place("t", "u", "dates", 1) == ((8, 31), (8, 31))
    assert place("rows") == ((9, 1), (9, 1))
    assert place("rows", 0, "parts", 1, "n") == ((14, 1), (14, 5))
    assert place("rows", 1, "parts", 0) == ((17, 1), (17, 1))
    assert place("rows", 1, "more", "k") == ((20, 1), (20, 5))


def test_super_table_after_its_child_has_the_place_of_its_own_header():
    text = "[a.b]\nx = 1\n[a]\ny = 2\n"
    found = positions.index(text, "toml")
    assert positions.line_and_column(text, found[("a",)].key)[0] == 3


def test_json_repeats_are_found_where_they_stand():
    text = '{"a": {"b": 1}, "c": [{"a": 1}, {"a": 2, "a": 3}], "a": 4}'
    assert positions.duplicates(text) == [(("c", 1, "a"), 41), (("a",), 51)]
    assert positions.duplicates('{"a": {"b": 1}, "a": {"b": 2}}') == [(("a",), 16)]


@pytest.mark.parametrize(
    ("offset", "found"),
    [
        (0, (1, 1, "ab")),
        (2, (1, 3, "ab")),
        (4, (2, 1, "cd")),
        (6, (2, 3, "cd")),
        (7, (3, 1, "")),
        (8, (4, 1, "e")),
        (9, (4, 2, "e")),
    ],
)
def test_line_and_column_count_from_one(offset, found):
    assert positions.line_and_column("ab\r\ncd\n\ne", offset) == found


def test_line_beyond_the_text_has_no_text():
    assert positions.line_text("a\n", 3, positions.line_starts("a\n")) is None
    assert positions.line_text("a\n", 2, positions.line_starts("a\n")) == ""
