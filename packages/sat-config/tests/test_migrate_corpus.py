"""Every public document of stable-audio-tools migrates to an experiment that is valid."""

import json
import os
import pathlib

import pytest

from sat_config import loading, migrate, shipped

REPOSITORY = pathlib.Path(__file__).parents[3]
CORPUS = pathlib.Path(os.environ.get("SAT_CORPUS_DIR", REPOSITORY.parent / "shared" / "corpus"))
INDEX = CORPUS / "index.json"

pytestmark = pytest.mark.skipif(not INDEX.is_file(), reason="no corpus here")


def files(kind, *statuses):
    rows = json.loads(INDEX.read_text()) if INDEX.is_file() else []
    found = [row["file"] for row in rows if row["kind"] == kind and row["status"] in statuses]
    return pytest.mark.parametrize("name", found)


def assert_valid(file, words, written_out):
    found = migrate.migrate(file, words, output="experiment.toml", written_out=written_out)
    pathlib.Path("experiment.toml").write_text(found.text, encoding="utf-8")
    report = loading.check("experiment.toml")
    assert report.errors == ()
    return report.config


@pytest.mark.parametrize("written_out", [False, True])
@files("model", "upstream")
def test_model_migrates(here, name, written_out):
    assert_valid(None, [f"model_config={CORPUS / name}"], written_out)


@pytest.mark.parametrize("written_out", [False, True])
@files("dataset", "upstream")
def test_dataset_migrates(here, name, written_out):
    words = ["model_config=sat:stable_audio_2_0_vae", f"dataset_config={CORPUS / name}"]
    assert_valid(None, words, written_out)


@pytest.mark.parametrize("written_out", [False, True])
@files("defaults", "upstream", "fork-extension")
def test_defaults_migrate(here, name, written_out):
    words = [
        "model_config=sat:stable_audio_2_0_vae",
        "dataset_config=sat:datasets/local_training_example",
        "val_dataset_config=",
    ]
    assert_valid(str(CORPUS / name), words[:2], written_out)


@pytest.mark.parametrize("preset", [n for n in shipped.names() if "datasets" not in n])
def test_written_out_preset_is_the_same_experiment(here, preset):
    words = [f"model_config={preset}"]
    assert assert_valid(None, words, True) == loading.check(None, words).config
