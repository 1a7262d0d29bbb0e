from dataclasses import replace

import msgspec
import pytest
import torch

from sat_config.audio.diffusion import DiTNode
from sat_models.backbones.base import build_conditioned_backbone
from sat_models.backbones.conditioning import NO_CONDITIONING, Conditioning

CHANNELS, LENGTH, KEPT = 3, 12, 8
SIZES = {"io_channels": CHANNELS, "embed_dim": 64, "depth": 2, "num_heads": 2}
CROSS, GLOBAL, PREPEND = {"cond_token_dim": 8}, {"global_cond_dim": 6}, {"prepend_cond_dim": 5}
OPTIONS = {
    "plain": {},
    "patch": {"patch_size": 4},
    "memory": {"num_memory_tokens": 2},
    "window": {"sliding_window": [2, 1]},
    "window-left": {"sliding_window": [2, -1]},
    "causal": {"causal": True, "sliding_window": [3, 3]},
    "conformer": {"conformer": True},
    "convolutions": {"ff_kwargs": {"use_conv": True}},
    "plain-convolutions": {"ff_kwargs": {"use_conv": True, "glu": False}},
    "attention": {"attn_kwargs": {"differential": True, "qk_norm": "ln", "feat_scale": True}},
    "layer-scale": {"layer_scale": True, "attn_kwargs": {"qk_norm": "dyt"}, "add_rope": True},
    "no-norms": {"remove_norms": True, "norm_kwargs": {"bias": True, "fix_scale": True}},
    "sinusoidal": {"rotary_pos_emb": False, "use_sinusoidal_emb": True},
    "absolute": {"use_abs_pos_emb": True, "abs_pos_emb_max_length": 30},
    "modulated": {"global_cond_type": "adaLN"},
    "timestep-channels": {"timestep_cond_type": "input_concat", "timestep_embed_dim": 3},
    "timestep-channels-modulated": {
        "timestep_cond_type": "input_concat",
        "timestep_embed_dim": 2,
        "global_cond_type": "adaLN",
    },
}


def shake(module):
    """Fresh transformers pass their input on; give every weight a part in the result."""
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return module


def build(*parts):
    config = dict(SIZES)
    for part in parts:
        config |= part
    return shake(
        build_conditioned_backbone(msgspec.convert({"type": "dit", "config": config}, DiTNode))
    )


def inputs():
    return torch.randn(2, CHANNELS, LENGTH), torch.rand(2)


def everything():
    return Conditioning(
        cross_attention=torch.randn(2, 4, 8),
        global_=torch.randn(2, 6),
        prepend=torch.randn(2, 3, 5),
        input_concat=torch.randn(2, 2, LENGTH // 2),
    )


def mask_until(length, kept):
    return (torch.arange(length) < kept).expand(2, -1)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_padding_changes_nothing_in_the_rest(options):
    dit = build(options, CROSS, GLOBAL, PREPEND)
    x, t = inputs()
    conditioning = Conditioning(
        cross_attention=torch.randn(2, 4, 8),
        global_=torch.randn(2, 6),
        prepend=torch.randn(2, 3, 5),
    )
    masked = dit(x, t, conditioning, padding_mask=mask_until(LENGTH, KEPT))
    cut = dit(x[..., :KEPT], t, conditioning)
    torch.testing.assert_close(masked[..., :KEPT], cut, rtol=1e-4, atol=1e-4)
    assert masked.isfinite().all()


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_options_keep_the_shape_and_have_finite_gradients(options):
    dit = build(options, CROSS, GLOBAL, PREPEND, {"input_concat_dim": 2})
    x, t = inputs()
    y = dit(x, t, everything())
    assert y.shape == x.shape
    y.square().sum().backward()
    unused = {name for name, p in dit.named_parameters() if p.grad is None}
    assert not unused
    assert all(p.grad.isfinite().all() for p in dit.parameters())


def test_padding_without_a_mask_counts():
    dit = build()
    x, t = inputs()
    cut = dit(x[..., :KEPT], t, NO_CONDITIONING)
    assert not torch.allclose(dit(x, t, NO_CONDITIONING)[..., :KEPT], cut)


def test_masked_conditions_are_cut_off_where_masks_are_heeded():
    dit = build(CROSS, PREPEND)
    x, t = inputs()
    cross, mask = torch.randn(2, 4, 8), mask_until(4, 3)
    whole = Conditioning(cross_attention=cross, cross_attention_mask=mask)
    cut = Conditioning(cross_attention=cross[:, :3])
    assert not torch.allclose(dit(x, t, whole), dit(x, t, cut))
    dit.model.heed_masks = True
    torch.testing.assert_close(dit(x, t, whole), dit(x, t, cut))


def test_a_condition_without_any_token_adds_nothing():
    dit = build(CROSS)
    dit.model.heed_masks = True
    x, t = inputs()
    nothing = Conditioning(
        cross_attention=torch.randn(2, 4, 8), cross_attention_mask=mask_until(4, 0)
    )
    torch.testing.assert_close(dit(x, t, nothing), dit(x, t, NO_CONDITIONING))


def test_masked_prepended_tokens_are_not_seen():
    dit = build(PREPEND)
    dit.model.heed_masks = True
    x, t = inputs()
    tokens, mask = torch.randn(2, 3, 5), mask_until(3, 2)
    other = tokens.clone()
    other[:, 2] = 7
    one, two = (dit(x, t, Conditioning(prepend=p, prepend_mask=mask)) for p in (tokens, other))
    torch.testing.assert_close(one, two)


def test_causal_networks_do_not_see_what_comes():
    dit = build({"causal": True})
    x, t = inputs()
    later = x.clone()
    later[..., 5:] = 0
    y, z = dit(x, t, NO_CONDITIONING), dit(later, t, NO_CONDITIONING)
    torch.testing.assert_close(y[..., :5], z[..., :5])
    assert not torch.allclose(y[..., 5:], z[..., 5:])


def test_window_limits_what_a_layer_sees():
    dit = build({"depth": 1, "sliding_window": [1, 2], "rotary_pos_emb": False})
    x, t = inputs()
    x.requires_grad_()
    dit(x, t, NO_CONDITIONING)[..., 6].sum().backward()
    touched = x.grad.abs().sum((0, 1)).nonzero().flatten().tolist()
    assert touched == [5, 6, 7, 8]


def test_recomputed_activations_give_the_same_gradients():
    options = {"global_cond_type": "adaLN", "input_concat_dim": 2, "checkpointing": True}
    dit = build(CROSS, GLOBAL, PREPEND, options)
    assert dit.model.transformer.recompute
    assert not build().model.transformer.recompute
    (x, t), conditioning = inputs(), everything()

    def gradients(recompute):
        dit.model.transformer.recompute = recompute
        dit.zero_grad()
        dit(x, t, conditioning).square().sum().backward()
        return [p.grad for p in dit.parameters()]

    torch.testing.assert_close(gradients(True), gradients(False))


def test_features_are_the_tokens_after_a_layer():
    dit = build({"num_memory_tokens": 2, "depth": 3}, PREPEND)
    seen = []
    for layer in dit.model.transformer.layers:
        layer.register_forward_hook(lambda layer, args, tokens: seen.append(tokens))
    x, t = inputs()
    tokens = dit.model.features(x, t, Conditioning(prepend=torch.randn(2, 3, 5)), layer=1)
    assert len(seen) == 2
    torch.testing.assert_close(tokens, seen[1][:, 2:])
    with pytest.raises(ValueError, match="layer 3 is not one of 3"):
        dit.model.features(x, t, NO_CONDITIONING, layer=3)


def test_half_precision():
    dit = build(CROSS, GLOBAL, PREPEND, {"input_concat_dim": 2}, OPTIONS["attention"])
    (x, t), conditioning = inputs(), everything()
    want = dit(x, t, conditioning)
    got = dit.bfloat16()(x, t, conditioning)
    assert got.dtype == torch.bfloat16
    assert (got.float() - want).abs().mean() < 0.1 * want.abs().mean()


@pytest.mark.parametrize("name", ["cross_attention", "global_", "prepend"])
def test_a_condition_without_a_way_in_is_refused(name):
    x, t = inputs()
    shape = (2, 8) if name == "global_" else (2, 4, 8)
    with pytest.raises(ValueError, match=f"takes no {name.rstrip('_')} condition"):
        build()(x, t, Conditioning(**{name: torch.randn(shape)}))


def test_too_many_tokens_for_learned_positions_are_refused():
    dit = build({"use_abs_pos_emb": True, "abs_pos_emb_max_length": 9})
    with pytest.raises(ValueError, match="13 tokens are more than the 9"):
        dit(*inputs(), NO_CONDITIONING)


def test_heads_too_narrow_for_rotary_positions_are_refused():
    with pytest.raises(ValueError, match="heads of 16 features are too narrow"):
        build({"num_heads": 4})


def test_masks_are_left_alone_by_builders():
    assert not build().model.heed_masks


@pytest.mark.compiled
@pytest.mark.slow
@pytest.mark.parametrize("recompute", [False, True])
def test_whole_graph_compiles_and_gives_the_same(recompute):
    torch.compiler.reset()
    dit = build(CROSS, GLOBAL, PREPEND, {"input_concat_dim": 2}, OPTIONS["attention"])
    dit.model.transformer.recompute = recompute
    (x, t), conditioning = inputs(), everything()
    compiled = torch.compile(dit, fullgraph=True, backend="eager")
    padding_mask = mask_until(LENGTH, KEPT)
    y = compiled(x, t, conditioning, padding_mask=padding_mask)
    torch.testing.assert_close(y, dit(x, t, conditioning, padding_mask=padding_mask))


@pytest.mark.parametrize("name", OPTIONS)
def test_items_without_context_are_computed_without_it(name):
    model, (x, t) = build(CROSS, GLOBAL, PREPEND, OPTIONS[name]), inputs()
    given = replace(everything(), input_concat=None)
    both = given.joined(given.dropped())
    assert (both.steered, len(both.cross_attention)) == (2, 4)
    x, t = torch.cat((x, x)), torch.cat((t, t))
    told, untold = (model(x, t, given) for given in (both, replace(both, steered=None)))
    torch.testing.assert_close(told, untold)
    alone = model(x[2:], t[2:], given.dropped())
    torch.testing.assert_close(alone, told[2:])


def test_items_without_context_save_their_attention():
    model, (x, t) = build(CROSS), inputs()
    given = Conditioning(cross_attention=torch.randn(2, 4, 8))
    seen = []
    attention = model.model.transformer.layers[0].cross_attn
    attention.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    model(torch.cat((x, x)), torch.cat((t, t)), given.joined(given.dropped()))
    model(x, t, given.dropped())
    assert seen == [2]
