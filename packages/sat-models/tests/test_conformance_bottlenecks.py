"""What every bottleneck must do, whatever it is; one or more examples of each."""

import msgspec
import pytest
import torch

from sat_config.audio.bottleneck import BottleneckNode
from sat_config.registry import current
from sat_models.bottlenecks.base import build_bottleneck

RVQ = {"dim": 4, "codebook_size": 8, "num_quantizers": 3, "kmeans_iters": 3}
DAC = {"input_dim": 4, "n_codebooks": 3, "codebook_size": 8, "codebook_dim": 2}
EXAMPLES = {
    "tanh": {"type": "tanh", "config": {"scale": 2.0}},
    "vae": {"type": "vae"},
    "l2_norm": {"type": "l2_norm"},
    "wasserstein": {"type": "wasserstein"},
    "wasserstein-all": {
        "type": "wasserstein",
        "config": {"noise_augment_dim": 2, "use_tanh": True},
    },
    "wasserstein-bypass": {"type": "wasserstein", "config": {"bypass_mmd": True}},
    "softnorm": {"type": "softnorm", "config": {"dim": 4}},
    "softnorm-all": {
        "type": "softnorm",
        "config": {"dim": 4, "noise_augment_dim": 2, "noise_regularize": True, "auto_scale": True},
    },
    "rvq": {"type": "rvq", "config": RVQ},
    "rvq-random": {"type": "rvq", "config": {**RVQ, "kmeans_init": False, "codebook_dim": 3}},
    "rvq-cosine": {
        "type": "rvq",
        "config": {**RVQ, "use_cosine_sim": True, "shared_codebook": True},
    },
    "rvq-affine": {
        "type": "rvq",
        "config": {
            **RVQ,
            "affine_param": True,
            "orthogonal_reg_weight": 0.1,
            "orthogonal_reg_active_codes_only": True,
            "orthogonal_reg_max_codes": 3,
        },
    },
    "rvq-learned": {
        "type": "rvq",
        "config": {
            **RVQ,
            "kmeans_init": False,
            "ema_update": False,
            "learnable_codebook": True,
            "sync_update_v": 0.2,
            "stochastic_sample_codes": True,
            "straight_through": True,
            "reinmax": True,
        },
    },
    "rvq-losses": {
        "type": "rvq",
        "config": {
            **RVQ,
            "commitment_use_cross_entropy_loss": True,
            "codebook_diversity_loss_weight": 0.1,
        },
    },
    "rvq_vae": {"type": "rvq_vae", "config": RVQ},
    "dac_rvq": {"type": "dac_rvq", "config": {**DAC, "quantizer_dropout": 0.5}},
    "dac_rvq-on-decode": {
        "type": "dac_rvq",
        "config": {
            **DAC,
            "codebook_dim": [2, 3, 4],
            "quantize_on_decode": True,
            "noise_augment_dim": 2,
        },
    },
    "dac_rvq_vae": {"type": "dac_rvq_vae", "config": DAC},
    "fsq": {"type": "fsq", "config": {"levels": [5, 2], "num_codebooks": 2}},
    "fsq-projected": {
        "type": "fsq",
        "config": {"levels": [4, 3, 3], "dim": 4, "noise_augment_dim": 2},
    },
    "dithered_fsq": {"type": "dithered_fsq", "config": {"dim": 4, "levels": 5}},
    "dithered_fsq-levels": {
        "type": "dithered_fsq",
        "config": {"dim": 2, "levels": [4, 3], "num_codebooks": 2, "noise_dropout": 0.5},
    },
}
DISCRETE = ("rvq", "rvq_vae", "dac_rvq", "dac_rvq_vae", "fsq", "dithered_fsq")
every = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())
every_discrete = pytest.mark.parametrize(
    "example",
    [pytest.param(value, id=name) for name, value in EXAMPLES.items() if value["type"] in DISCRETE],
)


def node_of(example):
    return msgspec.convert(example, current().families[BottleneckNode].members[example["type"]])


def features_for(node, *, batch=4):
    return torch.randn(batch, 4 * node.encoder_channels_per_latent, 12, requires_grad=True)


def trained(node):
    """A bottleneck after one step of training, which gives codebooks a start, in eval mode."""
    bottleneck = build_bottleneck(node)
    bottleneck.encode(features_for(node))
    return bottleneck.eval()


def generator(seed):
    return torch.Generator().manual_seed(seed)


def equal(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_every_member_has_an_example():
    tags = {example["type"] for example in EXAMPLES.values()}
    assert tags == set(current().families[BottleneckNode].members)


@every
@pytest.mark.parametrize("training", [True, False])
def test_shapes(example, training):
    node = node_of(example)
    bottleneck = trained(node).train(training)
    encoding = bottleneck.encode(features_for(node))
    assert encoding.latents.shape == (4, 4, 12)
    decoded = bottleneck.decode(encoding.latents)
    assert decoded.shape == (4, 4 + node.extra_decoder_channels, 12)


@every
def test_losses_in_training_are_those_that_the_node_declares(example):
    node = node_of(example)
    losses = build_bottleneck(node).encode(features_for(node)).losses
    assert set(losses) == set(node.losses)
    assert all(loss.shape == () and loss.isfinite() for loss in losses.values())


@every
def test_losses_in_eval_are_among_them(example):
    node = node_of(example)
    assert set(trained(node).encode(features_for(node)).losses) <= set(node.losses)


@every
def test_eval_changes_nothing_and_certain_latents_are_the_same_twice(example):
    node = node_of(example)
    bottleneck, features = trained(node), features_for(node)
    before = {name: value.clone() for name, value in bottleneck.state_dict().items()}
    random = torch.get_rng_state()
    first, second = (bottleneck.encode(features, sample=False) for _ in range(2))
    equal(first.latents, second.latents)
    assert torch.equal(torch.get_rng_state(), random)
    equal(dict(bottleneck.state_dict()), before)


@every
def test_generator_decides_every_draw(example):
    node = node_of(example)
    bottleneck, features = trained(node), features_for(node)
    random = torch.get_rng_state()
    one, two = (bottleneck.encode(features, generator=generator(5)).latents for _ in range(2))
    equal(one, two)
    decoded = [bottleneck.decode(one, generator=generator(5)) for _ in range(2)]
    equal(*decoded)
    assert torch.equal(torch.get_rng_state(), random)


@every
def test_gradients_reach_the_features_and_are_finite(example):
    node = node_of(example)
    bottleneck, features = build_bottleneck(node), features_for(node)
    encoding = bottleneck.encode(features)
    weights = torch.randn(4, 4 + node.extra_decoder_channels, 12)
    (bottleneck.decode(encoding.latents) * weights).sum().backward(retain_graph=True)
    assert features.grad.isfinite().all()
    assert features.grad.abs().sum() > 0
    (0 * features.sum() + sum(encoding.losses.values())).backward()
    grads = [p.grad for p in (features, *bottleneck.parameters()) if p.grad is not None]
    assert all(grad.isfinite().all() for grad in grads)


@every
def test_state_dict_round_trip_gives_the_same_latents(example):
    node = node_of(example)
    bottleneck, other, features = trained(node), build_bottleneck(node).eval(), features_for(node)
    other.load_state_dict(bottleneck.state_dict())
    encoded = [module.encode(features, sample=False).latents for module in (bottleneck, other)]
    equal(*encoded)


@every
def test_bfloat16(example):
    node = node_of(example)
    bottleneck = trained(node).bfloat16()
    features = features_for(node).detach().bfloat16()
    encoding = bottleneck.encode(features)
    assert encoding.latents.dtype == torch.bfloat16
    assert bottleneck.decode(encoding.latents).dtype == torch.bfloat16
    bottleneck.train().encode(features)


@every_discrete
def test_facts_are_those_of_the_node(example):
    node = node_of(example)
    bottleneck = build_bottleneck(node)
    assert node.is_discrete
    assert bottleneck.num_quantizers == node.num_quantizers
    assert bottleneck.codebook_size == node.codebook_size


@every_discrete
@pytest.mark.parametrize("training", [True, False])
def test_tokens_are_in_range(example, training):
    node = node_of(example)
    bottleneck = trained(node).train(training)
    tokens = bottleneck.encode(3 * features_for(node)).tokens
    assert tokens.shape == (4, node.num_quantizers, 12)
    assert tokens.dtype == torch.int64
    assert tokens.min() >= 0
    assert tokens.max() < node.codebook_size


@every_discrete
def test_tokens_become_the_latents_that_they_were_made_from(example):
    node = node_of(example)
    bottleneck, features = trained(node), features_for(node)
    encoding = bottleneck.encode(features, sample=False)
    tokens = bottleneck.encode_tokens(features, sample=False)
    equal(tokens, encoding.tokens)
    decoded = bottleneck.decode(encoding.latents, generator=generator(1))
    torch.testing.assert_close(bottleneck.decode_tokens(tokens, generator=generator(1)), decoded)


@every_discrete
def test_all_tokens_can_be_decoded(example):
    node = node_of(example)
    tokens = torch.arange(node.codebook_size).repeat(1, node.num_quantizers, 1)
    decoded = trained(node).decode_tokens(tokens)
    assert decoded.shape == (1, 4 + node.extra_decoder_channels, node.codebook_size)
    assert decoded.isfinite().all()


@pytest.mark.parametrize("name", ["rvq", "dac_rvq", "fsq", "dithered_fsq"])
def test_quantization_passes_gradients_straight_through(name):
    node = node_of(EXAMPLES[name])
    bottleneck, features = trained(node), features_for(node)
    bottleneck.train(name == "rvq")  # which hands gradients on in training only, as SAT's does
    latents = bottleneck.encode(features).latents
    assert torch.unique(latents.detach()).numel() < latents.numel()
    latents.sum().backward()
    assert (features.grad != 0).all()


@pytest.mark.parametrize("name", ["rvq", "rvq_vae"])
def test_residual_quantization_passes_no_gradient_outside_of_training(name):
    node = node_of(EXAMPLES[name])
    latents = trained(node).encode(features_for(node)).latents
    assert not latents.requires_grad
