"""What editors' checkers say of experiments, by the schemas that ship: tox -e editors."""

import json
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
TEMPLATES = sorted((SCHEMAS.parent / "experiments").glob("*.toml"))
GROUPS = sorted((ROOT / "packages/sat-hydra-adapter/src/sat_hydra_adapter/groups").rglob("*.yaml"))
SAT_MODEL = ROOT / "tests/editors/probes/document.json"
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


@pytest.mark.parametrize("checker", [check_jsonschema, taplo, tombi])
def test_templates_are_accepted_though_presets_complete_them(checker, tmp_path):
    for path in TEMPLATES:
        text = path.read_text(encoding="utf-8")
        (tmp_path / path.name).write_text(f"#:schema {LAYER.as_uri()}\n{text}", encoding="utf-8")
    status, words = checker(*sorted(tmp_path.iterdir()))
    assert status == 0, words


def check_by(document, *paths):
    schema = SCHEMAS / f"{document}.schema.json"
    return said(BIN / "check-jsonschema", "--schemafile", schema, *paths)


def test_groups_of_hydra_are_accepted():
    status, words = check_by("group", *GROUPS)
    assert status == 0, words


def test_interpolation_stands_for_any_value_of_a_group(tmp_path):
    path = tmp_path / "group.yaml"
    path.write_text(
        "# @package _global_\n_width: 8\nmodel_type: autoencoder\nbatch_size: ${_width}\n"
        "precision: ???\nmodel: ${oc.select:base}\n"
    )
    assert check_by("group", path)[0] == 0
    assert check_by("layer", path)[0] != 0


IN_GROUPS = [
    ("training/music_vae", "filters: 8", "filter: 8", "filter"),
    ("training/music_vae", "warmup_mode: full", "warmup_mode: fully", "warmup_mode"),
    ("model/stable_audio_2_0", "type: dit", "type: dti", "diffusion.type"),
    ("model/stable_audio_2_0", "use_snake: true", "use_snaek: true", "use_snaek"),
    ("experiment/production_run", "batch_size: 8", "batch_size: eight", "batch_size"),
    ("dataset/music", "path: music/train", "path: 3", "datasets[0].path"),
]
IN_MODEL = [
    ('"iterate_batch"', '"iterate_batches"', "iterate_batches"),
    ('"type": "dit"', '"type": "dti"', "model.diffusion.type"),
    ('"max_length": 64', '"max_length": 64.5', "conditioning.configs[0].config.max_length"),
    ('"demo_every": 2000', '"demo_evry": 2000', "demo_evry"),
    ('"sample_rate": 44100,', "", "sample_rate"),
    ('"lr": 5e-5', '"lr": "5e-5"', "diffusion.optimizer.config.lr"),
]


def named_in_each(document, paths):
    """What the checker says of each file, all of which it has to refuse."""
    status, words = check_by(document, *paths, "--output-format", "json", "--verbose")
    found = json.loads(words)["errors"]
    assert status != 0
    return [json.dumps([e for e in found if e["filename"] == str(path)]) for path in paths]


def test_mistakes_in_groups_are_refused_and_their_keys_named(tmp_path):
    paths = []
    for number, (group, before, after, _) in enumerate(IN_GROUPS):
        (source,) = [path for path in GROUPS if path.match(f"{group}.yaml")]
        text = source.read_text(encoding="utf-8")
        assert before in text
        head = "model_type: autoencoder\n" if group.startswith("training") else ""
        paths.append(tmp_path / f"{number}.yaml")
        paths[-1].write_text(head + text.replace(before, after, 1), encoding="utf-8")
    said_of = named_in_each("group", paths)
    pairs = zip(IN_GROUPS, said_of, strict=True)
    assert [key for (*_, key), words in pairs if key not in words] == []


def test_mistakes_in_models_of_sat_are_refused_and_their_keys_named(tmp_path):
    text, paths = SAT_MODEL.read_text(encoding="utf-8"), []
    for number, (before, after, _) in enumerate(IN_MODEL):
        assert before in text
        paths.append(tmp_path / f"{number}.json")
        paths[-1].write_text(text.replace(before, after), encoding="utf-8")
    said_of = named_in_each("model", paths)
    pairs = zip(IN_MODEL, said_of, strict=True)
    assert [key for (*_, key), words in pairs if key not in words] == []


def test_model_of_sat_is_accepted():
    status, words = check_by("model", SAT_MODEL)
    assert status == 0, words
