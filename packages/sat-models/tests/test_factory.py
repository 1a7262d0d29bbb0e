import copy
import json
from functools import partial

import golden
import pytest

import sat_config
from sat_config import ConfigError, UserError
from sat_config.audio.bottleneck import BottleneckNode
from sat_config.audio.conditioner import ConditioningConfig
from sat_config.audio.decoder import DecoderNode
from sat_config.audio.encoder import EncoderNode
from sat_config.audio.pretransform import PretransformNode
from sat_models import build_model, factory
from sat_models.models.autoencoder import AudioAutoencoder

pytestmark = pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")

CODER = {"channels": 4, "c_mults": [1, 2], "strides": [2, 4]}
AUTOENCODER = {
    "encoder": {"type": "oobleck", "config": {**CODER, "latent_dim": 6}},
    "decoder": {"type": "oobleck", "config": {**CODER, "latent_dim": 3}},
    "bottleneck": {"type": "vae"},
    "latent_dim": 3,
    "downsampling_ratio": 8,
    "io_channels": 2,
}
COND = {
    "diffusion": {
        "type": "dit",
        "global_cond_ids": ["n"],
        "config": {
            "io_channels": 2,
            "embed_dim": 64,
            "depth": 1,
            "num_heads": 1,
            "global_cond_dim": 4,
            "project_global_cond": False,
        },
    },
    "conditioning": {
        "cond_dim": 4,
        "configs": [{"id": "n", "type": "int", "config": {"min_val": 0, "max_val": 3}}],
    },
    "io_channels": 2,
}
MODELS = {
    "create_autoencoder_from_config": ("autoencoder", AUTOENCODER),
    "create_diffusion_cond_from_config": ("diffusion_cond", COND),
}
GOLDEN = {
    "create_diffAE_from_config": "diffae_dit_decoder",
    "create_diffusion_uncond_from_config": "dit_uncond",
    "create_audio_lm_from_config": "lm_delay",
}


def document(name):
    if name in GOLDEN:
        config = golden.Case(golden.HERE / "cases" / f"{GOLDEN[name]}.json").config
        config.pop("metadata", None)
        return config
    tag, model = MODELS[name]
    return {"model_type": tag, "sample_rate": 8000, "sample_size": 64, "model": model}


def shapes(module):
    return {name: value.shape for name, value in module.state_dict().items()}


@pytest.mark.parametrize("name", [*MODELS, *GOLDEN])
def test_model_comes_of_a_dictionary_and_of_an_experiment(name):
    config = document(name)
    before, expected = copy.deepcopy(config), shapes(build_model(sat_config.decode(config)))
    create = getattr(factory, name)
    assert shapes(create({key: config[key] for key in ("model", "sample_rate")})) == expected
    assert shapes(create(sat_config.decode(config))) == expected
    assert shapes(factory.create_model_from_config(config)) == expected
    assert config == before


def test_model_comes_of_a_file(tmp_path):
    path, config = tmp_path / "model_config.json", document("create_autoencoder_from_config")
    path.write_text(json.dumps(config))
    assert isinstance(factory.create_model_from_config_path(path), AudioAutoencoder)


@pytest.mark.parametrize(
    ("create", "config", "family"),
    [
        (factory.create_encoder_from_config, AUTOENCODER["encoder"], EncoderNode),
        (factory.create_decoder_from_config, AUTOENCODER["decoder"], DecoderNode),
        (factory.create_bottleneck_from_config, AUTOENCODER["bottleneck"], BottleneckNode),
        (
            partial(factory.create_pretransform_from_config, sample_rate=8000),
            {"type": "autoencoder", "config": AUTOENCODER},
            PretransformNode,
        ),
        (
            partial(factory.create_multi_conditioner_from_conditioning_config, sample_rate=8000),
            COND["conditioning"],
            ConditioningConfig,
        ),
    ],
)
def test_part_comes_of_a_dictionary_and_of_a_node(create, config, family):
    assert shapes(create(config)) == shapes(create(sat_config.decode(config, family)))


def test_wrong_key_is_an_error_that_names_the_right_one():
    with pytest.raises(ConfigError, match="latent_dim"):
        factory.create_autoencoder_from_config(
            {"sample_rate": 8000, "model": {**AUTOENCODER, "latent_dimm": 3}}
        )


def test_other_kinds_of_models_are_refused():
    diffusion = sat_config.decode(document("create_diffusion_cond_from_config"))
    with pytest.raises(UserError, match="class AutoencoderConfig, got DiffusionCondConfig"):
        factory.create_autoencoder_from_config(diffusion)
    with pytest.raises(UserError, match="dictionary with `model` and `sample_rate`"):
        factory.create_autoencoder_from_config({"model": AUTOENCODER})
