"""The generated reference pages are current, and complete."""

import importlib.util
import pathlib

import pytest

from sat_config import rules, schema
from sat_config.audio.experiment import AudioExperiment

REPOSITORY = pathlib.Path(__file__).parents[3]


@pytest.fixture(scope="module")
def tool():
    path = REPOSITORY / "tools" / "reference_pages.py"
    spec = importlib.util.spec_from_file_location("reference_pages", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def wanted(tool):
    return tool.pages()


def test_pages_are_current(tool, wanted):
    stale = [
        name for name in {*wanted, *tool.there()} if wanted.get(name) != tool.there().get(name)
    ]
    assert stale == [], "run tools/reference_pages.py"


def test_every_type_of_every_family_has_a_section(tool, wanted):
    for family in tool.families():
        page = wanted[f"{tool.slug(family)}.md"]
        for tag in (*family.members, *family.refused):
            assert f"`{tag}`" in page
        for tag, cls in family.members.items():
            section = page.partition(f"\n## `{tag}`\n")[2].partition("\n## ")[0]
            own = [key for key in schema.fields(cls) if key not in schema.fields(family.base)]
            assert all(f"| `{key}` |" in section for key in own), tag


def test_every_run_key_is_there(wanted):
    for key in schema.fields(AudioExperiment):
        assert f"| `{key}` |" in wanted["run-keys.md"]


def test_every_row_has_a_meaning(wanted):
    for name, page in wanted.items():
        for row in page.splitlines():
            if row.startswith("| `"):
                cells = row.replace("\\|", "").strip("| ").split(" | ")
                assert cells[-1], f"{name}: {row}"


def test_rules_of_a_type_stand_with_it(wanted):
    assert "SAT-E012" in wanted["bottleneck.md"].partition("\n## `dithered_fsq`\n")[2]
    listed = {code for code in rules.RULES if any(f"- {code}:" in page for page in wanted.values())}
    assert len(listed) > len(rules.RULES) / 2
