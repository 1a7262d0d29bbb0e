"""What backbones, conditioners and patterns of codebooks know of themselves."""

import pytest
from audio_forms import FAMILIES, codes, form, members, read

import sat_config
from sat_config import registry, schema
from sat_config.audio import conditioner, diffusion, diffusion_autoencoder, lm, transformer, unet
from sat_config.audio.conditioner import ConditionerNode
from sat_config.audio.diffusion import DiffusionAutoencoderBackboneNode, DiffusionBackboneNode
from sat_config.audio.lm import CodebookPatternNode, LMBackboneNode


def test_inert_keys_are_known_and_warned_of():
    node = {"id": "a", "type": "phoneme", "config": {"max_length": 9}}
    with pytest.warns(sat_config.ConfigWarning, match="max_length has no effect"):
        sat_config.decode(node, type=ConditionerNode)
    node = {**form("lm_backbone", "continuous_transformer"), "global_cond_ids": ["a"]}
    with pytest.warns(sat_config.ConfigWarning, match="global_cond_ids has no effect"):
        sat_config.decode(node, type=LMBackboneNode)


def test_pattern_named_by_a_word_is_the_node_with_its_defaults():
    for word in ("parallel", "delay", "unroll", "musiclm"):
        table = form("lm_backbone", "continuous_transformer")
        found = read({**table, "codebook_pattern": word}, LMBackboneNode)
        assert found.pattern == read({"type": word}, CodebookPatternNode)
    assert read(table, LMBackboneNode).pattern == lm.DelayPatternNode()
    given = {"type": "musiclm", "group_by": 3}
    found = read({**table, "codebook_pattern": given}, LMBackboneNode)
    assert found.pattern == lm.MusicLMPatternNode(group_by=3)
    with pytest.raises(sat_config.ConfigError, match='try: "delay"'):
        sat_config.decode({**table, "codebook_pattern": "delayed"}, type=LMBackboneNode)


@pytest.mark.parametrize(
    ("family", "tag", "channels", "multiple"),
    [
        ("uncond_backbone", "dit", 4, 2),
        ("uncond_backbone", "adp_uncond_1d", 2, 8),
        ("uncond_backbone", "DAU1d", 1, 8),
        ("cond_backbone", "dit", 4, 2),
        ("cond_backbone", "adp_1d", 2, 8),
        ("cond_backbone", "adp_cfg_1d", 2, 8),
        ("autoencoder_backbone", "dit", 2, 2),
        ("autoencoder_backbone", "adp_1d", 2, 8),
        ("autoencoder_backbone", "DAU1d", 1, 8),
    ],
)
def test_backbone_knows_its_channels_and_lengths(family, tag, channels, multiple):
    node = read(form(family, tag, "full"), FAMILIES[family])
    assert node.length_multiple == multiple
    if family != "cond_backbone":
        assert node.io_channels == channels
    if family != "autoencoder_backbone":
        assert {count for _, count in node.declared_channels} == {channels}
    if family == "autoencoder_backbone":
        assert node.latent_inlet.width == 4


def test_default_dance_diffusion_halves_thirteen_times():
    assert unet.DAU1dConfig().length_multiple == 8192
    assert codes(unet.DAU1dConfig()) == []


def test_ways_into_each_network_and_their_widths():
    dit, adp, cfg = (
        read(form("cond_backbone", tag, "full"), DiffusionBackboneNode)
        for tag in ("dit", "adp_1d", "adp_cfg_1d")
    )
    assert {key: inlet.width for key, inlet in dit.inlets.items()} == {
        "cross_attention_cond_ids": 32,
        "global_cond_ids": 64,
        "prepend_cond_ids": 8,
        "input_concat_ids": 5,
    }
    assert {key: inlet.width for key, inlet in adp.inlets.items()} == {
        "global_cond_ids": 8,
        "input_concat_ids": 3,
    }
    assert {key: inlet.width for key, inlet in cfg.inlets.items()} == {
        "cross_attention_cond_ids": 8,
        "global_cond_ids": 8,
        "input_concat_ids": 4,
    }


def test_conditioners_know_their_widths_shapes_and_tokens():
    facts = {}
    for tag in members("conditioner"):
        forms = [form("conditioner", tag, kind) for kind in ("least", "full")]
        nodes = [read(node, ConditionerNode) for node in forms]
        facts[tag] = [(n.shape, n.width(768), n.num_tokens) for n in nodes]
    one = [("vector", 768, 1), ("vector", 8, 1)]
    signal = [("signal", 768, None), ("signal", 8, None)]
    assert facts == {
        "int": one,
        "number": one,
        "list": one,
        "t5": [("sequence", 768, 128), ("sequence", 8, 64)],
        "clap_text": [("vector", 768, 1), ("sequence", 8, None)],
        "clap_audio": one,
        "phoneme": [("sequence", 768, None), ("sequence", 8, None)],
        "lut": [("sequence", 768, 1024), ("sequence", 8, 9)],
        "pretransform": signal,
        "source_mix": signal,
    }
    assert conditioner.T5Config().encoder_width == 768
    assert set(conditioner.T5_WIDTHS) == set(conditioner.T5Name.__args__)
    assert conditioner.ClapAudioConfig(clap_ckpt_path="x").encoder_width == 512
    text = conditioner.ClapTextConfig(clap_ckpt_path="x", use_text_features=True)
    assert (text.encoder_width, conditioner.ClapTextConfig(clap_ckpt_path="x").encoder_width) == (
        768,
        512,
    )


def test_keys_that_no_condition_can_reach_are_left_out():
    assert not set(schema.fields(transformer.DiTUncondConfig)) & {"cond_token_dim", "io_channels"}
    unreachable = {"context_features", "context_embedding_features", "context_embedding_max_length"}
    assert not set(schema.fields(unet.AdpUncond1dConfig)) & unreachable


def test_conditional_family_is_one_per_place():
    assert registry.current().families[DiffusionBackboneNode].members == {
        "dit": diffusion.DiTNode,
        "adp_1d": diffusion.Adp1dNode,
        "adp_cfg_1d": diffusion.AdpCfg1dNode,
    }
    slot = schema.fields(diffusion_autoencoder.DiffusionAutoencoderConfig)["diffusion"].slot
    assert slot.family is registry.current().families[DiffusionAutoencoderBackboneNode]
