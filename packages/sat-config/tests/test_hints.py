import pytest

from sat_config import document, hints
from sat_config.document import DocumentError


@pytest.mark.parametrize(
    ("name", "text", "advice"),
    [
        ("a.toml", "x = word.wav", 'text stands in quotes: "word.wav"'),
        ("a.toml", "x = [one]", 'text stands in quotes: "one"'),
        ("a.toml", "x = True", "true"),
        ("a.toml", "x = None", "TOML has no null; leave the key out"),
        ("a.toml", "x = 1\nx = 2", "it is there already, further up; keep one of the two"),
        ("a.toml", "[x]\n[x]\n", "it is there already, further up; keep one of the two"),
        (
            "a.toml",
            'x = "one\n',
            "close the text with a quote; text of several lines has three on each side",
        ),
        ("a.toml", "x = ", None),
        ("a.toml", "x", None),
        ("a.toml", "x = 3 y", None),
        (
            "a.toml",
            r'x = "C:\users"',
            r"write \\ for one backslash (and / in paths) or put the text in single quotes",
        ),
        (
            "a.toml",
            r'x = "C:\data"',
            r"write \\ for one backslash (and / in paths) or put the text in single quotes",
        ),
        ("a.json", r'{"x": "C:\data"}', r"write \\ for one backslash (and / in paths)"),
        ("a.json", '{"x": 1,}', "remove the last comma"),
        ("a.json", '{"x": [1,\n]}', "remove the last comma"),
        ("a.json", '{"x": 1 // no\n}', 'JSON has no comments; a key "_comment" is taken as one'),
        ("a.json", "{'x': 1}", "JSON takes double quotes"),
        ("a.json", '{"x": True}', "true"),
        ("a.json", '{"x": None}', "null"),
        ("a.json", '{"x": ', None),
        ("a.json", '{"x" 1}', None),
    ],
)
def test_syntax_error_says_what_was_probably_meant(write, name, text, advice):
    with pytest.raises(DocumentError) as caught:
        document.read(write(name, text))
    (problem,) = caught.value.problems
    assert (problem.code, problem.suggestion) == ("syntax", advice)


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("learning_rat", ["learning_rate", "length"], "learning_rate"),
        ("Batch-Size", ["batch", "batch_size"], "batch_size"),
        ("x", ["learning_rate"], None),
        (3, ["3"], None),
    ],
)
def test_nearest_is_what_was_probably_meant(name, known, meant):
    assert hints.nearest(name, known) == meant


def test_few_choices_are_listed_and_of_many_those_most_like_what_was_found():
    assert hints.choices(["b", "a"], "a") == "b, a"
    assert hints.choices([], "a") == ""
    many = [*(f"{letter}{letter}" for letter in "abcdefghijkl"), "learning_rate", "learned"]
    assert hints.choices(many, "learning_rat").startswith("learning_rate, learned, ")
    assert hints.choices(many, "learning_rat").endswith(" and 8 more")
    assert len(hints.choices(many, None).split(",")) == 6


@pytest.mark.parametrize(
    ("language", "table", "acceptance"),
    [
        ("toml", '{ type = "vae" }', '[checks] allow = ["SAT-E003"]'),
        ("json", '{ "type": "vae" }', '"checks": { "allow": ["SAT-E003"] }'),
        ("yaml", '{ type: "vae" }', 'checks: { allow: ["SAT-E003"] }'),
        ("override", '{ type = "vae" }', 'override checks.allow=["SAT-E003"]'),
    ],
)
def test_advice_is_in_the_syntax_of_where_it_goes(language, table, acceptance):
    assert hints.one_key(language, "type", '"vae"') == table
    assert hints.accepting(language, "SAT-E003") == acceptance
