"""What training blocks know of themselves, and keys of theirs without effect."""

import pytest
from audio_forms import BLOCKS, training_block

import sat_config
from sat_config.audio import demo, loss
from sat_config.audio import training as blocks
from sat_config.audio.discriminator import DiscriminatorWeights

RATE = {"learning_rate": 1e-4}


def test_losses_left_out_are_those_of_sat():
    losses = blocks.AutoencoderTraining(learning_rate=1e-4).loss_configs
    assert losses.discriminator.config.n_ffts == (2048, 1024, 512, 256, 128, 64, 32)
    assert losses.discriminator.config.hop_lengths == (512, 256, 128, 64, 32, 16, 8)
    assert losses.discriminator.weights == DiscriminatorWeights(
        adversarial=0.1, feature_matching=5.0
    )
    assert losses.spectral.config.perceptual_weighting
    assert losses.spectral.weights.mrstft == 1.0
    assert losses.time.weights == loss.TimeWeights(l1=0.0)


def test_usual_optimizers_are_those_of_sat():
    made = blocks.AutoencoderTraining(learning_rate=2e-4).optimizers
    assert made.autoencoder == made.discriminator
    assert made.autoencoder.optimizer.config.betas == (0.8, 0.99)
    assert made.autoencoder.optimizer.config.lr == 2e-4
    made = blocks.LMTraining(learning_rate=1e-4).optimizers
    assert made.lm.optimizer.config.betas == (0.9, 0.95)
    assert made.lm.optimizer.config.weight_decay == 0.1
    made = blocks.DiffusionCondTraining(learning_rate=1e-4).optimizers
    assert type(made.diffusion.optimizer).__struct_config__.tag == "Adam"
    assert made.diffusion.scheduler is None


@pytest.mark.parametrize("model_type", ["autoencoder", "diffusion_cond", "lm"])
@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")
def test_chosen_optimizers_win(model_type):
    block = sat_config.decode(training_block(model_type), type=BLOCKS[model_type])
    assert block.optimizers is block.optimizer_configs
    with pytest.raises(ValueError, match="learning_rate"):
        _ = BLOCKS[model_type]().optimizers


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        (blocks.DiffusionCondTraining, {**RATE, "use_reconstruction_loss": True}),
        (blocks.DiffusionCondTraining, {**RATE, "loss_configs": {"diffusion": {}}}),
        (loss.EvalSTFT, {"device": "cpu"}),
        (demo.StemsDisplayNode, {"type": "audio_dict", "id": "a", "config": {"display_mix": True}}),
    ],
)
def test_key_without_effect_is_a_warning(kind, table):
    with pytest.warns(sat_config.ConfigWarning, match="has no effect"):
        sat_config.decode(table, type=kind)
