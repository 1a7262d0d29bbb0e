"""What is said about mistakes: transcripts of the command, and the page that shows them."""

import ast
import importlib.util
import pathlib
import re

import pytest

import sat_config
from sat_config import rules
from sat_config.codes import CODES
from sat_config.registry import current

ROOT = pathlib.Path(__file__).parents[3]
HERE = pathlib.Path(__file__).parent / "mistakes"
SOURCE = pathlib.Path(sat_config.__file__).parent

spec = importlib.util.spec_from_file_location("problems_page", ROOT / "tools/problems_page.py")
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)

WITHOUT_EXAMPLE = {
    "bad-key": "only plain data of Python can have such keys",
    "derived-value": "no family that ships derives values",
    "guarded-key": "no family that ships guards keys",
    "missing-extra": "depends on what is installed",
    "other-model": "no family that ships has sections of several models",
    "too-many-layers": "a thousand files",
    "too-many-problems": "hundreds of mistakes",
    "two-root-tags": "one family of documents ships",
    "unreadable": "depends on the system",
    **dict.fromkeys(("dropped-key", "new-effect", "new-value", "other-default"), "of migrate"),
}
ALONE = {"no-root-tag": "says of the whole document that nothing can be said of it"}
FLAGS = {"sat-config", "ckpt-path", "config-file", "is-discrete", "limit-batches", "model-half",
         "output-path", "sample-size", "utf-8", "utf-8-sig", "utf-16"}  # fmt: skip


@pytest.mark.parametrize("path", sorted(HERE.glob("*.txt")), ids=lambda path: path.stem)
def test_command_says_what_the_transcript_expects(path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    files, words, expected = tool.parse(path.read_text(encoding="utf-8"))
    assert tool.run(files, words) == expected, "look, then run tools/problems_page.py --accept"


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_is_shown_or_cannot_be(code):
    path = HERE / f"{code}.txt"
    assert path.exists() is (code not in WITHOUT_EXAMPLE)
    if path.exists():
        assert f"[{code}]" in path.read_text(encoding="utf-8")


def faulty_files(name):
    """The files, and words of the command line, that a transcript finds faults in."""
    _, _, expected = tool.parse((HERE / f"{name}.txt").read_text(encoding="utf-8"))
    found = re.findall(r"^(.+?)(?::\d+:\d+)?: (?:error|warning)\[", expected, re.MULTILINE)
    assert not any(place.startswith(("/", "<")) for place in found)
    return set(found)


@pytest.mark.parametrize("code", sorted(set(CODES) - set(WITHOUT_EXAMPLE) - set(ALONE)))
def test_every_code_is_shown_with_faults_in_two_files(code):
    assert len(faulty_files(code)) >= 2


@pytest.mark.parametrize("family", current().families.values(), ids=lambda family: family.name)
def test_every_family_is_shown_with_faults_in_two_files(family):
    assert len(faulty_files(f"family-{family.name.lower().replace(' ', '-')}")) >= 2


def test_every_code_that_is_used_is_documented():
    used = set()
    for path in SOURCE.rglob("*.py"):
        if "audio" not in path.parts:
            for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                used |= set(codes_in(call)) if isinstance(call, ast.Call) else set()
    assert used - FLAGS - set(CODES) == set()
    everything = "".join(p.read_text(encoding="utf-8") for p in SOURCE.rglob("*.py")
                         if p.name != "codes.py")  # fmt: skip
    assert [code for code in CODES if f'"{code}"' not in everything] == []


def codes_in(call):
    arguments = [*call.args, *(word.value for word in call.keywords if word.arg == "code")]
    for argument in arguments:
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            yield from re.findall(r"^[a-z]+(?:-[a-z0-9]+)+$", argument.value)


def test_page_is_current():
    assert tool.PAGE.read_text(encoding="utf-8") == tool.page(), "run tools/problems_page.py"


@pytest.mark.parametrize("family", current().families.values(), ids=lambda family: family.name)
def test_unknown_type_of_every_family_is_named_with_what_there_is(family):
    table = "nonesuch"
    for key in reversed(family.tag_path):
        table = {key: table}
    with pytest.raises(sat_config.ConfigError) as caught:
        sat_config.decode(table, family.base)
    problems = [p for p in caught.value.problems if p.code not in rules.RULES]
    assert [problem.code for problem in problems] == ["bad-tag"]
    assert f"is no {family.name} that is known here" in problems[0].message
    assert next(iter(family.members)) in problems[0].allowed or " more" in problems[0].allowed
