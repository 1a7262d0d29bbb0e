from __future__ import annotations

from collections.abc import Iterator

import pytest

from sat_config import loading, registry, rules
from sat_config.registry import family, member
from sat_config.rules import Broken, rule
from sat_config.run import Experiment

with registry.fresh() as BOXES:

    @family("box", root=True)
    class Box(Experiment, kw_only=True, tag_field="box"):
        width: int = 1
        height: int = 1
        inner: tuple[PlainBox, ...] = ()
        lid: PlainBox | None = None

    @member
    class PlainBox(Box, kw_only=True, tag="plain"):
        pass


@pytest.fixture
def boxes(monkeypatch):
    monkeypatch.setattr(registry, "_current", BOXES)
    monkeypatch.setattr(rules, "RULES", {})
    monkeypatch.setattr(rules, "_on_class", {})

    @rule("T-1", on=Box, reads=("width", "height"))
    def flat(node: Box) -> Iterator[Broken]:
        """A box is wider than high."""
        if node.width < node.height:
            yield Broken(f"{node.width} is less than {node.height}", ("width",), str(node.height))

    @rule("T-2", on=PlainBox, reads=("width",), severity="warning")
    def odd(node: PlainBox) -> Iterator[Broken]:
        """A box has an odd width."""
        if node.width % 2 == 0:
            yield Broken(f"{node.width} is even")


def found(name, *words, may_run=True):
    report = loading._check([name], words, None, may_run=may_run)
    return report, [(p.code, p.severity, p.path) for p in report.problems]


def test_broken_rule_refuses_what_shall_run(boxes, write):
    report, problems = found(write("a.toml", 'box = "plain"\nheight = 3\nwidth = 1\n'))
    assert problems == [("T-1", "error", ("width",))]
    assert report.config is None
    (problem,) = report.problems
    assert (problem.message, problem.suggestion, problem.line) == ("1 is less than 3", "3", 3)
    assert problem.note == 'if this is meant, accept it: [checks] allow = ["T-1"]'


def test_broken_rule_warns_of_what_is_only_read(boxes, write):
    report, problems = found(write("a.toml", 'box = "plain"\nheight = 3\n'), may_run=False)
    assert problems == [("T-1", "warning", ("width",))]
    assert report.config.height == 3


def test_broken_rule_that_the_file_accepts_warns(boxes, write):
    text = 'box = "plain"\nheight = 3\nchecks = { allow = ["T-1"] }\n'
    report, problems = found(write("a.toml", text))
    assert problems == [("T-1", "warning", ("width",))]
    assert report.config is not None


def test_rule_of_severity_warning_refuses_nothing(boxes, write):
    report, problems = found(write("a.toml", 'box = "plain"\nwidth = 2\n'))
    assert problems == [("T-2", "warning", ())]
    assert report.config is not None


def test_accepting_a_rule_that_nobody_knows_warns(boxes, write):
    text = 'box = "plain"\n[checks]\nallow = ["T-1", "T-11"]\n'
    report, problems = found(write("a.toml", text))
    assert problems == [("unknown-code", "warning", ("checks", "allow", 1))]
    assert report.problems[0].message == "no rule is called 'T-11'"
    assert report.problems[0].suggestion == "T-1"
    assert (report.problems[0].line, report.problems[0].column) == (3, 17)


@pytest.mark.parametrize("allow", ["5", '"T-1"', "[1]", "[[]]"])
def test_malformed_list_of_accepted_rules_is_a_problem_among_others(boxes, write, allow):
    text = f'box = "plain"\ninner = [{{ height = 9 }}]\nchecks = {{ allow = {allow} }}\n'
    _, problems = found(write("a.toml", text))
    assert ("T-1", "error", ("inner", 0, "width")) in problems
    assert any(code == "bad-value" for code, _, _ in problems)


def test_rules_reach_into_tables_and_lists(boxes, write):
    text = 'box = "plain"\ninner = [{}, { height = 3 }]\nlid = { height = 4 }\n'
    _, problems = found(write("a.toml", text))
    assert [path for _, _, path in problems] == [("inner", 1, "width"), ("lid", "width")]


def test_rules_run_on_every_node_that_decodes_beside_other_faults(boxes, write):
    text = 'box = "plain"\nwidth = 1\nheight = 2\nseed = "x"\nlid = { height = 4 }\n'
    _, problems = found(write("a.toml", text))
    assert sorted(problems) == [
        ("T-1", "error", ("lid", "width")),
        ("bad-value", "error", ("seed",)),
    ]


def test_rules_on_a_node_run_beside_those_on_its_children(boxes, write):
    text = 'box = "plain"\nwidth = 1\nseed = "x"\nlid = { height = 4, inner = [{ height = 2 }] }\n'
    _, problems = found(write("a.toml", text))
    assert sorted(path for code, _, path in problems if code == "T-1") == [
        ("lid", "inner", 0, "width"),
        ("lid", "width"),
    ]


def test_rule_knows_its_sentence(boxes):
    assert rules.RULES["T-1"].sentence == "A box is wider than high."
    assert rules.RULES["T-1"].reads == ("width", "height")


def test_rule_without_docstring_has_no_sentence(boxes):
    @rule("T-3", on=Box, reads=())
    def silent(node: Box) -> Iterator[Broken]:
        yield from ()

    assert rules.RULES["T-3"].sentence == ""


def test_two_rules_of_one_code_are_refused(boxes):
    with pytest.raises(TypeError, match="two rules are called T-1"):
        rule("T-1", on=Box, reads=())(lambda node: iter(()))


def test_every_shipped_rule_has_a_code_a_sentence_and_fields_that_exist():
    import msgspec

    from sat_config import schema

    for code, entry in rules.RULES.items():
        assert code.startswith(("SAT-E", "SAT-W")), code
        assert entry.sentence.endswith("."), code
        assert (entry.severity == "warning") or code.startswith("SAT-E"), code
        classes = [entry.on, *(c for c in _subclasses(entry.on))]
        for path in entry.reads:
            first = path.split(".")[0]
            owners = [cls for cls in classes if first in schema.fields(cls)]
            assert owners, f"{code} reads {path}, which {entry.on.__name__} does not have"
        assert issubclass(entry.on, msgspec.Struct)


def _subclasses(cls):
    for below in cls.__subclasses__():
        yield below
        yield from _subclasses(below)
