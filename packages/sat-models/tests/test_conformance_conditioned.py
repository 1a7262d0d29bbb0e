"""What every conditional backbone must do, whatever it is; one or more examples of each."""

import msgspec
import pytest
import torch

from sat_config.audio.diffusion import DiffusionBackboneNode
from sat_config.registry import current
from sat_models.backbones.base import build_conditioned_backbone
from sat_models.backbones.conditioning import Conditioning

ADP = {
    "in_channels": 3,
    "channels": 32,
    "multipliers": [1, 1],
    "factors": [2],
    "num_blocks": [1],
    "attentions": [1, 1],
    "attention_heads": 2,
    "attention_multiplier": 2,
    "context_features": 6,
    "context_features_multiplier": 4,
    "context_channels": [2],
}
DIT = {"io_channels": 3, "embed_dim": 64, "depth": 2, "num_heads": 2}
STEERED = {"cond_token_dim": 8, "global_cond_dim": 6, "input_concat_dim": 2}
EXAMPLES = {
    "adp": {"type": "adp_1d", "config": ADP},
    "adp-cfg": {
        "type": "adp_cfg_1d",
        "config": {**ADP, "context_embedding_features": 8, "context_embedding_max_length": 4},
    },
    "dit": {"type": "dit", "config": {**DIT, **STEERED, "prepend_cond_dim": 5}},
    "dit-modulated": {
        "type": "dit",
        "diffusion_objective": "rectified_flow",
        "config": {
            **DIT,
            **STEERED,
            "patch_size": 2,
            "global_cond_type": "adaLN",
            "conformer": True,
            "num_memory_tokens": 2,
            "attn_kwargs": {"qk_norm": "ln", "differential": True},
        },
    },
}


def node_of(example):
    members = current().families[DiffusionBackboneNode].members
    return msgspec.convert(example, members[example["type"]])


def build(example):
    backbone = build_conditioned_backbone(node_of(example))
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return backbone


def conditioning_for(example):
    """All that the backbone takes."""
    inlets = node_of(example).inlets
    widths = {key.removesuffix("_ids"): inlet.width for key, inlet in inlets.items()}
    sizes = {
        "cross_attention": (2, 4, widths.get("cross_attention_cond", 0)),
        "global_": (2, widths.get("global_cond", 0)),
        "prepend": (2, 3, widths.get("prepend_cond", 0)),
    }
    parts = {name: torch.randn(size) for name, size in sizes.items() if size[-1]}
    mask = torch.ones(2, 4, dtype=torch.bool)
    parts |= {"cross_attention_mask": mask} if "cross_attention" in parts else {}
    return Conditioning(**parts, input_concat=torch.randn(2, widths["input_concat"], 12))


def test_every_member_has_an_example():
    tags = {example["type"] for example in EXAMPLES.values()}
    assert tags == set(current().families[DiffusionBackboneNode].members)


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_conditioned_backbone(example):
    backbone, conditioning = build(example), conditioning_for(example)
    assert 12 % backbone.frame_multiple == 0
    x, t = torch.randn(2, backbone.io_channels, 12), torch.rand(2)
    y = backbone(x, t, conditioning)
    assert y.shape == x.shape
    torch.testing.assert_close(backbone(x, t, conditioning), y, rtol=0, atol=0)
    assert not torch.equal(backbone(x, t / 2, conditioning), y)

    other = build(example)
    other.load_state_dict(backbone.state_dict())
    torch.testing.assert_close(other(x, t, conditioning), y)

    y.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in backbone.parameters())


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_every_condition_makes_a_difference(example):
    backbone, conditioning = build(example), conditioning_for(example)
    x, t = torch.randn(2, backbone.io_channels, 12), torch.rand(2)
    y = backbone(x, t, conditioning)
    for name in ("cross_attention", "global_", "prepend", "input_concat"):
        part = getattr(conditioning, name)
        if part is not None:
            changed = Conditioning(**{**vars(conditioning), name: -part})
            assert not torch.equal(backbone(x, t, changed), y), name
