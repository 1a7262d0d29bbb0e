"""What tombi's language server completes and shows in an editor: tox -e editors."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location(
    "language_servers", ROOT / "tools/language_servers.py"
)
tool = sys.modules["language_servers"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        return list(tool.ask("tombi", tmp_path_factory.mktemp("tombi")))


@pytest.mark.parametrize("place", [probe.place for probe in tool.probes("toml")])
def test_tombi_completes_and_shows(place, answers):
    (answer,) = [answer for answer in answers if answer.probe.place == place]
    assert answer.faults() == [], answer


def test_marked_part_is_found_once():
    assert tool.marked("a = 1\nb = 2\n", "«b» = 2") == (6, 1)
    with pytest.raises(ValueError, match="not in the document exactly once"):
        tool.marked("a = 1\na = 1\n", "«a» = 1")
