import copy

import pytest
import torch

import sat_config
from sat_models.backbones.conditioning import NO_CONDITIONING
from sat_models.build import build_model
from sat_models.errors import ConditionError
from sat_models.models.conditioned_diffusion import inpainting_signals
from sat_models.models.guidance import Guidance

CONDITIONING = {
    "cond_dim": 8,
    "configs": [
        {"id": "genre", "type": "list", "config": {"options": ["rock", "jazz"]}},
        {"id": "seconds", "type": "number", "config": {"max_val": 60}},
    ],
}
METADATA = [{"genre": "jazz", "seconds": 30}, {"genre": "rock", "seconds": 9}]


def build(model_type="diffusion_cond", *, conditioning=CONDITIONING, diffusion=None, **config):
    sizes = {"io_channels": 3, "embed_dim": 64, "depth": 1, "num_heads": 2}
    backbone = {"type": "dit", "config": {**sizes, **config}, **(diffusion or {})}
    model = {"io_channels": 3, "diffusion": backbone}
    if conditioning is not None:
        model["conditioning"] = conditioning
    document = {"model_type": model_type, "sample_rate": 8000, "sample_size": 64, "model": model}
    built = build_model(sat_config.decode(document))
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return built


def text_model(**options):
    ids = {"cross_attention_cond_ids": ["genre"], "global_cond_ids": ["seconds"], **options}
    return build(diffusion=ids, cond_token_dim=8, global_cond_dim=8)


def inputs():
    return torch.randn(2, 3, 6), torch.rand(2)


def test_metadata_steers_the_model():
    model, (x, t) = text_model(), inputs()
    one = model.condition(METADATA)
    assert one.cross_attention.shape == (2, 1, 8)
    assert one.global_.shape == (2, 8)
    assert (one.prepend, one.input_concat) == (None, None)
    other = model.condition(METADATA[::-1])
    assert not torch.allclose(model(x, t, one), model(x, t, other))
    torch.testing.assert_close(
        model(x[:1], t[:1], model.condition(METADATA[:1])), model(x, t, one)[:1]
    )


def test_gradients_reach_the_conditioners():
    model, (x, t) = text_model(), inputs()
    model(x, t, model.condition(METADATA)).square().sum().backward()
    assert all(p.grad is not None for p in model.conditioner.parameters())


def test_guidance_follows_conditions_more_strictly():
    model, (x, t) = text_model(), inputs()
    conditioning = model.condition(METADATA)
    predict = model.guided(conditioning, Guidance(scale=2.0, rescale=0.0, interval=(0.0, 1.0)))
    guided, without = predict(x, t)
    plain = model(x, t, conditioning)
    torch.testing.assert_close(guided, 2 * plain - without, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(without, model(x, t, conditioning.dropped()), rtol=1e-4, atol=1e-5)


def inpainter():
    ids = {"input_concat_ids": ["inpaint_mask", "inpaint_masked_input"]}
    return build("diffusion_cond_inpaint", conditioning=None, diffusion=ids, input_concat_dim=4)


def test_masked_signal_and_mask_join_the_input():
    model, (x, t) = inpainter(), inputs()
    latents, mask = torch.randn(2, 3, 6), torch.ones(2, 1, 6)
    mask[..., 3:] = 0
    conditioning = model.condition([{}, {}], signals=inpainting_signals(latents, mask))
    want = torch.cat((mask, latents * mask), dim=1)
    torch.testing.assert_close(conditioning.input_concat, want)
    hidden = latents.clone()
    hidden[..., 3:] = 9
    same = model.condition([{}, {}], signals=inpainting_signals(hidden, mask))
    torch.testing.assert_close(model(x, t, conditioning), model(x, t, same))


def test_missing_signals_are_named():
    with pytest.raises(ConditionError, match="no condition 'inpaint_mask', only none"):
        inpainter().condition([{}])


def test_padding_mask_reaches_the_backbone():
    model, (x, t) = build(conditioning=None), inputs()
    mask = (torch.arange(6) < 4).expand(2, -1)
    masked = model(x, t, NO_CONDITIONING, padding_mask=mask)[..., :4]
    torch.testing.assert_close(masked, model(x[..., :4], t, NO_CONDITIONING), rtol=1e-4, atol=1e-5)


def test_wrong_channels_are_refused_with_wanted_and_got():
    with pytest.raises(ValueError, match=r"\(batch, 3, frames\), got \(1, 2, 6\)"):
        text_model()(torch.randn(1, 2, 6), torch.rand(1), NO_CONDITIONING)


def test_without_a_pretransform_latents_are_the_audio():
    model, audio = text_model(), torch.randn(1, 3, 8)
    assert (model.hop_length, model.frame_multiple) == (1, 1)
    assert model.to_latents(audio) is audio
    assert model.to_audio(audio) is audio


def test_shift_follows_the_node():
    assert text_model().distribution_shift is None
    shifted = text_model(distribution_shift_options={"min_length": 8, "max_length": 32})
    assert shifted.distribution_shift.max_length == 32


def test_copies_are_independent():
    model, (x, t) = text_model(), inputs()
    other = copy.deepcopy(model)
    torch.nn.init.zeros_(other.model.model.postprocess_conv.weight)
    conditioning = model.condition(METADATA)
    assert not torch.equal(model(x, t, conditioning), other(x, t, conditioning))
