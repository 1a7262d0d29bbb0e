"""The documents with which `tools/sat_builds_ours.py` asks stable-audio-tools."""

import json
import pathlib
import runpy

import pytest

import sat_config
from sat_config.audio.dataset import DatasetNode

TOOLS = pathlib.Path(__file__).parents[1] / "tools"
FOUND = runpy.run_path(str(TOOLS / "sat_cases.py"))
CASES, PRESETS = FOUND["CASES"], FOUND["PRESETS"]

pytestmark = pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")


def decode(document):
    return sat_config.decode(document, DatasetNode if "dataset_type" in document else None)


@pytest.mark.parametrize("name", CASES)
def test_case_survives_being_written_for_sat(name):
    config = decode(CASES[name])
    assert decode(json.loads(sat_config.dumps(config, "json"))) == config


def test_every_type_has_a_case_or_a_reason(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    tool = runpy.run_path(str(TOOLS / "sat_builds_ours.py"))
    covered = {found for case in CASES.values() for found in tool["types"](decode(case))}
    lines = {line.strip() for line in tool["uncovered"](covered)}
    assert lines == {f"{name}: {reason}" for name, reason in tool["OURS_ALONE"].items()}


@pytest.mark.parametrize("name", PRESETS)
def test_preset_without_its_defaults_is_the_same(name, monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    tool = runpy.run_path(str(TOOLS / "sat_builds_ours.py"))
    assert decode(dict(tool["presets"]())[name]) == sat_config.load_model(name, ["-training"])
