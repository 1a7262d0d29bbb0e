import json
import pathlib
import tomllib
import warnings

import pytest

import sat_config
from sat_config import loading, shipped
from sat_config.audio.dataset import DatasetNode

README = pathlib.Path(__file__).parents[1] / "README.md"
CONFIGS = pathlib.Path(__file__).parents[3] / "configs"
TEMPLATES = [name for name in shipped.names() if name.startswith("sat:experiments/")]
PRESETS = [name for name in shipped.names() if name not in TEMPLATES]
EXPERIMENTS = sorted((CONFIGS / "experiments").glob("*.toml"))
UPSTREAM = ("Stability-AI/stable-audio-tools", "50049e379e2fe8e35bffc99e57f23ade1c3471b7")


def is_dataset(name):
    return name.startswith("sat:datasets/")


def load(path):
    """A model or a dataset; which one, `path` tells."""
    read = sat_config.load_dataset if "datasets" in str(path) else sat_config.load_model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sat_config.ConfigWarning)
        return read(path)


def in_configs(name):
    kind = "" if is_dataset(name) else "models/"
    return CONFIGS / f"{kind}{name.removeprefix('sat:')}.toml"


def originals(corpus):
    """Preset to the document of stable-audio-tools that it is a twin of."""
    found = {}
    for entry in json.loads((corpus / "index.json").read_text()):
        stem = pathlib.PurePosixPath(entry.get("path", "")).stem
        kind = {"model": "", "dataset": "datasets/"}.get(entry["kind"])
        if (entry["repo"], entry.get("commit")) == UPSTREAM and kind is not None:
            found[f"sat:{kind}{stem}"] = corpus / entry["file"]
    return found


def test_every_document_of_sat_has_a_twin(corpus):
    assert sorted(originals(corpus)) == sorted(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_twin_decodes_to_the_same(corpus, name):
    assert load(name) == load(originals(corpus)[name])


@pytest.mark.parametrize("name", PRESETS)
def test_preset_loads_without_errors(name):
    kind = DatasetNode if is_dataset(name) else None
    report = loading._check([name], (), kind, may_run=True)
    assert report.errors == ()


@pytest.mark.parametrize("name", PRESETS)
def test_preset_lies_in_the_configs_too(name):
    assert load(in_configs(name)) == load(name)


@pytest.mark.parametrize("name", PRESETS)
def test_preset_says_what_it_is(name):
    text = pathlib.Path(shipped.find(name)).read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert tomllib.loads(text)


@pytest.mark.parametrize("name", PRESETS)
def test_readme_lists_the_preset(name):
    assert f"| `{name.removeprefix('sat:')}` |" in README.read_text(encoding="utf-8")


def test_presets_mount_in_each_other(write):
    text = """
        include = [
          { path = "sat:stable_audio_1_0_vae", take = "model", at = "model.pretransform.config" },
          { path = "sat:datasets/local_training_example", at = "dataset" },
        ]
        overrides = ["dataset.datasets[my_audio].path=clips"]
        model_type = "diffusion_uncond"
        sample_rate = 44100
        sample_size = 65536
        model = { type = "dit", config = { in_channels = 64 }, pretransform.type = "autoencoder" }
    """
    config = sat_config.load_model(write("a.toml", text))
    assert config.model.pretransform.hop_length == 1024
    assert config.dataset.datasets[0].id == "my_audio"


def test_preset_is_a_layer_under_sats_keys(write):
    name = write("a.toml", 'model_config = "sat:dance_diffusion_base"\n')
    assert sat_config.load(name, ["dataset_config=sat:datasets/s3_wds_example"]).dataset.drop_last


def test_unknown_preset_is_refused_by_itself():
    with pytest.raises(sat_config.ConfigError, match="no preset of this name") as caught:
        sat_config.load_model("sat:dance_difusion_base")
    assert caught.value.problems[0].suggestion == "sat:dance_diffusion_base"


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_shipped_experiment_may_run(path):
    assert sat_config.check(path).errors == ()


def test_experiments_ship():
    assert EXPERIMENTS
