"""What editors' checkers say of experiments, by the schemas that ship: tox -e editors."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "packages/sat-config/src/sat_config/presets/schemas"
LAYER = SCHEMAS / "layer.schema.json"
BIN = Path(sys.executable).parent
SHIPPED = [
    path
    for folder in ("configs/experiments", "configs/models")
    for path in sorted((ROOT / folder).glob("*.toml"))
]
GOOD = """\
model_type = "autoencoder"
sample_rate = 44100
sample_size = 65536

[model]
latent_dim = 8
downsampling_ratio = 2
io_channels = 2

[model.encoder]
type = "oobleck"
config = { in_channels = 2, latent_dim = 16 }

[model.decoder]
type = "oobleck"
config = { out_channels = 2, latent_dim = 8 }

[model.bottleneck]
type = "vae"

[dataset]
dataset_type = "audio_dir"
datasets = [{ id = "music", path = "music" }]
"""
MISTAKES = {
    "misspelt-key": ("sample_size = 65536", "sample_size = 65536\nsede = 3", "sede"),
    "text-for-integer": ("sample_rate = 44100", 'sample_rate = "44100"', "sample_rate"),
    "out-of-range": ("sample_size = 65536", "sample_size = 0", "sample_size"),
    "unknown-model-type": ('"autoencoder"', '"autoencodr"', "model_type"),
    "unknown-tag": ('type = "vae"', 'type = "vea"', "bottleneck.type"),
    "key-of-another-type": ('type = "vae"', 'type = "vae"\ndim = 3', "dim"),
    "nested-key": ("in_channels = 2,", "in_channls = 2,", "in_channls"),
    "unknown-choice": ("sample_size = 65536", 'sample_size = 65536\nlogger = "x"', "logger"),
    "table-for-value": ("latent_dim = 8\ndown", "latent_dim = { a = 1 }\ndown", "latent_dim"),
    "value-for-table": ('[model.bottleneck]\ntype = "vae"', "[training]\ndemo = 3", "demo"),
}


def said(*words):
    """Exit status and words of a command."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    return done.returncode, done.stdout + done.stderr


def check_jsonschema(*paths):
    return said(BIN / "check-jsonschema", "--schemafile", LAYER, *paths)


def taplo(*paths):
    return said(BIN / "taplo", "check", "--schema", LAYER.as_uri(), *paths)


def tombi(*paths):
    return said(BIN / "tombi", "lint", "--offline", *paths)


@pytest.fixture
def experiment(tmp_path):
    def write(text):
        path = tmp_path / "experiment.toml"
        path.write_text(f"#:schema {LAYER.as_uri()}\n{text}")
        return path

    return write


def test_checkers_are_here():
    assert all(shutil.which(BIN / name) for name in ("taplo", "tombi", "check-jsonschema"))


@pytest.mark.parametrize("checker", [check_jsonschema, taplo, tombi])
def test_shipped_files_are_accepted(checker):
    status, words = checker(*SHIPPED)
    assert status == 0, words


@pytest.mark.parametrize("checker", [check_jsonschema, taplo, tombi])
def test_good_experiment_is_accepted(checker, experiment):
    status, words = checker(experiment(GOOD))
    assert status == 0, words


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.parametrize("checker", [check_jsonschema, taplo, tombi])
def test_mistake_is_refused_and_its_key_named(checker, name, experiment):
    before, after, key = MISTAKES[name]
    assert before in GOOD
    path = experiment(GOOD.replace(before, after))
    status, words = checker(path)
    assert status != 0, words
    if checker is check_jsonschema:
        assert key.rpartition(".")[2] in words
    if checker is tombi:
        lines = path.read_text().splitlines()
        at = [int(part.split(":")[0]) for part in words.split("experiment.toml:")[1:]]
        shown = [lines[number - 1] for number in at] or [words]
        assert any(key.rpartition(".")[2] in line for line in shown), words
