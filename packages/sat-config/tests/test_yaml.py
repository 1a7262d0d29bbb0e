import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import sat_config
from sat_config import document, yaml_text

scalars = (
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
    | st.integers(-(2**63), 2**63 - 1)
    | st.booleans()
    | st.none()
    | st.floats(allow_nan=False, allow_infinity=False)
)
keys = st.text(st.characters(categories=["L", "N"], max_codepoint=0xD7FF), min_size=1, max_size=6)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


class Quoting(yaml.SafeDumper):
    """Text that YAML 1.2 would read as something else stands in quotes."""


def _text(dumper, value):
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"')


Quoting.add_representer(str, _text)


@given(st.dictionaries(keys, values, max_size=4), st.booleans())
def test_what_pyyaml_writes_is_read_back(data, flow):
    text = yaml.dump(data, Dumper=Quoting, default_flow_style=flow, allow_unicode=True)
    assert yaml_text.parse(text) == data


@given(st.dictionaries(keys, values, max_size=4), st.booleans())
def test_places_point_at_keys(data, flow):
    text = yaml.dump(data, Dumper=Quoting, default_flow_style=flow, allow_unicode=True)
    places = yaml_text.places(text)
    for key in data:
        assert text[places[(key,)].key :].startswith(f'"{key}"')


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("1e-4", 1e-4),
        ("4.", 4.0),
        ("2026-01-02", "2026-01-02"),
        ("1:30", "1:30"),
        ("0x1F", 31),
        ("0o17", 15),
        ("010", 10),
        ("~", None),
        ("", None),
        ("'12'", "12"),
        ("!!str 12", "12"),
        ("!!float 12", 12.0),
        ("1_000", "1_000"),
    ],
)
def test_scalars_are_those_of_the_core_schema(text, value):
    found = yaml_text.parse(f"key: {text}")["key"]
    assert (found, type(found)) == (value, type(value))


def test_anchors_and_merge_keys():
    text = "base: &b {a: 1, c: 3}\nother:\n  <<: *b\n  a: 2\nsame: *b\nmany:\n  <<: [*b, {d: 4}]\n"
    found = yaml_text.parse(text)
    assert found["other"] == {"a": 2, "c": 3}
    assert found["same"] == {"a": 1, "c": 3}
    assert found["many"] == {"a": 1, "c": 3, "d": 4}
    places = yaml_text.places(text)
    assert text[places["other", "c"].key :].startswith("<<")
    assert text[places["other", "a"].key :].startswith("a: 2")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: [1,\n", 3, "flow"),
        ("a: 1\n--- \nb: 2\n", 2, "a second document"),
        ("a: *nowhere\n", 1, "not defined above"),
        ("a: &x [*x]\n", 1, "inside of what it names"),
        ("a: !!python/object:os.system x\n", 1, "more than plain data"),
        ("a: !mine {}\n", 1, "more than plain data"),
        ("a: 1\n? [1, 2]\n: 3\n", 2, "a key must be text"),
        ("a: 1\n<<: 3\n", 2, "merges tables"),
        ("a: \x07\n", 1, "not allowed"),
    ],
)
def test_what_is_not_plain_data_is_refused_with_its_line(write, text, line, words):
    with pytest.raises(document.DocumentError) as caught:
        document.read(write("a.yaml", text))
    (problem,) = caught.value.problems
    assert (problem.code, problem.line) == ("syntax", line)
    assert words in problem.message


def test_duplicate_key_is_refused_with_its_path(write):
    with pytest.raises(document.DocumentError) as caught:
        document.read(write("a.yml", "a:\n  b: 1\n  c: 2\n  b: 3\n"))
    (problem,) = caught.value.problems
    assert (problem.code, problem.path, problem.line) == ("duplicate-key", ("a", "b"), 4)


def test_aliases_that_multiply_are_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(yaml_text.YamlError, match="more than 1000000 values"):
        yaml_text.parse("\n".join(lines))


def test_deep_nesting_is_refused(write):
    with pytest.raises(document.DocumentError, match="deep"):
        document.read(write("a.yaml", "a: " + "[" * 10_000 + "]" * 10_000))


def test_text_key_is_needed(write):
    with pytest.raises(document.DocumentError, match="1 is not text"):
        document.read(write("a.yaml", "1: 2\n"))


def test_missing_pyyaml_names_the_extra(write, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(document.DocumentError) as caught:
        document.read(write("a.yaml", "a: 1\n"))
    assert "sat-config[yaml]" in caught.value.problems[0].suggestion


def test_problem_in_a_yaml_layer_names_its_line(write):
    write("base.yaml", "model_type: diffusion_uncond\nbatch_size: none\n")
    report = sat_config.check(write("top.toml", 'include = ["base.yaml"]\n'))
    found = [p for p in report.problems if p.path == ("batch_size",)]
    assert [(p.line, p.column, p.source_line) for p in found] == [(2, 13, "batch_size: none")]
