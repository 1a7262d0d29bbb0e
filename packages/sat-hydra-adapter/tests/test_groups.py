import pathlib

import pytest

import sat_config
from sat_config import shipped
from sat_hydra_adapter import compose
from sat_hydra_adapter.words import GROUPS

ROOT = pathlib.Path(__file__).parents[3]

EXPERIMENTS = sorted(path.stem for path in (ROOT / "configs" / "experiments").glob("*.toml"))
MODELS = [name for name in shipped.names() if "/" not in name]


def test_every_shipped_experiment_has_a_twin():
    assert sorted(path.stem for path in (GROUPS / "experiment").glob("*.yaml")) == EXPERIMENTS


@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_composed_experiment_equals_the_toml_one(at_root, name):
    composed = compose(GROUPS, [f"experiment={name}"])
    assert composed == sat_config.load(f"configs/experiments/{name}.toml")


@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")
@pytest.mark.parametrize("name", MODELS)
def test_model_group_equals_the_preset(at_root, name):
    composed = compose(GROUPS, [f"model={name.removeprefix('sat:')}"])
    assert composed == sat_config.load(name), "run tools/hydra_groups.py"


@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")
def test_training_of_a_model_can_be_swapped(at_root):
    words = ["model=stable_audio_2_0_vae", "training=autoencoder_small"]
    assert compose(GROUPS, words).training == compose(GROUPS, ["model=small_vae"]).training
