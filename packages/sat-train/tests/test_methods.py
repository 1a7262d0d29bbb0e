import pytest
import torch

import sat_config
from sat_config import UserError
from sat_config.node import Node
from sat_models.build import build_model
from sat_models.data.batch import AudioBatch, Item, LatentBatch
from sat_models.errors import MissingBuilderError
from sat_train.methods.base import build_method


def build(document):
    experiment = sat_config.decode(document)
    model = build_model(experiment)
    return build_method(experiment.training, model=model, experiment=experiment)


def items(count):
    return tuple(Item(f"x/{n}", f"/x/{n}.wav", 0, 0.0, 1.0) for n in range(count))


def audio_batch(*, lengths=(256, 256), samples=256):
    mask = torch.arange(samples) < torch.tensor(lengths)[:, None]
    audio = 0.1 * torch.randn(len(lengths), 2, samples) * mask[:, None]
    return AudioBatch(audio, mask, items(len(lengths)))


def test_terms_are_weighted_and_add_up_to_the_loss(autoencoder_document):
    method = build(autoencoder_document)
    batch = audio_batch()
    torch.manual_seed(1)
    losses = method.losses(batch, method.parts[0])
    terms = losses.terms
    assert set(terms) == {"mrstft", "l1", "l2", "kl"}
    torch.testing.assert_close(losses.total, sum(terms.values()))
    torch.manual_seed(1)
    decoded = method.autoencoder(batch.audio).audio
    torch.testing.assert_close(terms["l1"], 0.3 * (batch.audio - decoded).abs().mean())


def test_terms_of_weight_zero_are_left_out(autoencoder_document):
    autoencoder_document["training"]["loss_configs"]["time"]["weights"] = {}
    method = build(autoencoder_document)
    assert set(method.losses(audio_batch(), method.parts[0]).terms) == {"mrstft", "kl"}


def test_autoencoder_validation_does_not_draw(autoencoder_document):
    method = build(autoencoder_document)
    batch = audio_batch()
    with torch.no_grad():
        assert method.validate([batch]) == method.validate([batch])


def test_autoencoder_validation_ignores_padding(autoencoder_document):
    method = build(autoencoder_document)
    batch = audio_batch(lengths=(160,))
    changed = batch.audio.clone()
    with torch.no_grad():
        decoded = method.reconstruct(changed)
        want = method.distance(decoded[..., :160], batch.audio[..., :160]).item()
        assert method.validate([batch])["val/mrstft"] == pytest.approx(want, rel=1e-5)


def test_silence_has_the_distance_of_silence(autoencoder_document, monkeypatch):
    method = build(autoencoder_document)
    monkeypatch.setattr(method, "reconstruct", torch.zeros_like)
    with torch.no_grad():
        found = method.validate([audio_batch()])
    assert found["val/mrstft"] == pytest.approx(found["val/mrstft_silence"])


def test_crop_too_short_for_a_transform_is_refused(autoencoder_document):
    autoencoder_document["sample_size"] = 64
    with pytest.raises(UserError, match=r"sample_size is 64.*at least 65 samples"):
        build(autoencoder_document)


def test_frozen_encoder_is_not_optimized(autoencoder_document):
    autoencoder_document["model"]["encoder"]["requires_grad"] = False
    method = build(autoencoder_document)
    (group,) = method.configure_optimizers()[0][0].param_groups
    assert group["betas"] == (0.8, 0.99)
    assert len(group["params"]) == len(list(method.autoencoder.decoder.parameters()))


def test_pretransform_is_stored_but_not_optimized(diffusion_document):
    method = build(diffusion_document)
    (group,) = method.configure_optimizers()[0][0].param_groups
    trained = {id(parameter) for parameter in group["params"]}
    frozen = method.diffusion.pretransform.parameters()
    assert not any(id(parameter) in trained for parameter in frozen)
    prefixes = {".".join(key.split(".")[:3]) for key in method.state_dict()}
    assert "diffusion.pretransform.model" in prefixes
    assert "diffusion.model.model" in prefixes
    assert "diffusion_ema.ema_model.model" in prefixes


@pytest.mark.parametrize("objective", ["v", "rectified_flow"])
def test_loss_is_zero_for_a_perfect_prediction(diffusion_document, objective, monkeypatch):
    diffusion_document["model"]["config"]["diffusion_objective"] = objective
    method = build(diffusion_document)
    latents = torch.randn(2, 3, 32)
    batch = LatentBatch(latents, torch.ones(2, 32, dtype=torch.bool), items(2))
    t = torch.tensor([0.25, 0.75])
    monkeypatch.setattr(type(method.times), "draw", lambda *_, **__: t)
    torch.manual_seed(5)
    noise = torch.randn(2, 3, 32)
    _, target = method.diffusion.objective.training_pair(latents / 2.0, noise, t)
    monkeypatch.setattr(method.diffusion, "forward", lambda x, t: target)
    torch.manual_seed(5)
    assert method.losses(batch, method.parts[0]).total == 0


def test_diffusion_demos_are_audio_and_the_same_every_time(diffusion_document):
    method = build(diffusion_document).eval()
    first, second = ([demo.audio["audio"] for demo in method.demos([])] for _ in range(2))
    assert [tuple(clip.shape) for clip in first] == [(2, 256), (2, 256)]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")
def test_crop_of_broken_patches_is_refused(diffusion_document):
    diffusion_document["model"]["config"]["patch_size"] = 5
    with pytest.raises(UserError, match=r"256 is 32 frames.*to a multiple of 40"):
        build(diffusion_document)


def test_training_block_that_nothing_trains_by_is_named(autoencoder_document):
    class Strange(Node, kw_only=True):
        """Unknown."""

    experiment = sat_config.decode(autoencoder_document)
    with pytest.raises(MissingBuilderError, match="Strange"):
        build_method(Strange(), model=torch.nn.Identity(), experiment=experiment)


def test_next_command_encodes_what_was_trained(autoencoder_document, tmp_path):
    method = build(autoencoder_document)
    experiment = sat_config.decode(autoencoder_document)
    words = method.next_words(experiment, config=tmp_path / "c.toml", latest=tmp_path / "latest")
    assert words[0] == "sat-preencode"
    assert f"preencode.checkpoint={tmp_path / 'latest'}" in words
    table = sat_config.decode(
        {
            **autoencoder_document,
            "preencode": {"output_path": "l", "checkpoint": str(tmp_path / "latest")},
        }
    )
    short = method.next_words(table, config=tmp_path / "c.toml", latest=tmp_path / "latest")
    assert list(short) == ["sat-preencode", str(tmp_path / "c.toml")]
