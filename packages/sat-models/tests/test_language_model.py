import msgspec
import pytest
import torch

import sat_config
from sat_config.audio.lm import LMBackboneNode, TransformerLMNode
from sat_config.registry import current
from sat_models.backbones.conditioning import NO_CONDITIONING, Conditioning
from sat_models.build import build_model, load_builtin
from sat_models.language.backbone import build_lm_backbone
from sat_models.language.build_patterns import build_pattern
from sat_models.language.choice import TokenChoice
from sat_models.language.codes import CodeLanguageModel, CodeLogits, code_losses
from sat_models.language.generate import generate_codes

CODEBOOKS, SIZE, LENGTH = 4, 7, 5
SIZES = {"embed_dim": 64, "depth": 2, "dim_heads": 32}
CROSS = {"cross_attn_cond_dim": 6, "project_cross_attn_cond": True}
PREPEND = {"prepend_cond_dim": 5}
PATTERNS = ["parallel", "delay", "unroll", "musiclm"]
OPTIONS = {
    "plain": {},
    "prepend": PREPEND,
    "cross": CROSS,
    "cross-unprojected": {"cross_attn_cond_dim": 32},
    "memory": {"num_memory_tokens": 2, **PREPEND},
    "window": {"sliding_window": [2, 0]},
    "attention": {**CROSS, "attn_kwargs": {"differential": True, "qk_norm": "ln"}},
    "own-positions": {"rotary_pos_emb": False, "add_rope": True, "layer_scale": True},
    "absolute": {"use_abs_pos_emb": True, **PREPEND},
    "sinusoidal": {"rotary_pos_emb": False, "use_sinusoidal_emb": True},
}
GREEDY = TokenChoice(temperature=0.0, top_k=0, top_p=0.0)
RANDOM = TokenChoice(temperature=1.0, top_k=0, top_p=0.0)


def build(pattern="delay", **options):
    mapping = {"type": "continuous_transformer", "codebook_pattern": pattern}
    node = msgspec.convert({**mapping, "config": {**SIZES, **options}}, TransformerLMNode)
    model = CodeLanguageModel(
        build_lm_backbone(node),
        make_pattern=build_pattern(node.pattern, num_codebooks=CODEBOOKS),
        num_codebooks=CODEBOOKS,
        codebook_size=SIZE,
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def conditioning_for(options, batch=2):
    cross, prepend = options.get("cross_attn_cond_dim"), options.get("prepend_cond_dim")
    return Conditioning(
        cross_attention=torch.randn(batch, 3, cross) if cross else None,
        prepend=torch.randn(batch, 2, prepend) if prepend else None,
    )


def some_codes(frames=LENGTH, batch=2):
    return torch.randint(SIZE, (batch, CODEBOOKS, frames))


def generate(model, prompt=None, conditioning=NO_CONDITIONING, **options):
    options = {"choose": GREEDY, "guidance_scale": 1.0, "num_frames": LENGTH, **options}
    prompt = some_codes(frames=0) if prompt is None else prompt
    return generate_codes(model, conditioning, prompt=prompt, **options)


def test_every_backbone_has_a_builder_of_its_own():
    load_builtin()
    members = current().families[LMBackboneNode].members.values()
    assert not [member for member in members if member not in build_lm_backbone.registry]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_steps_in_pieces_give_what_they_give_at_once(options):
    model, conditioning = build(**options), conditioning_for(options)
    sequence = some_codes(frames=6)
    cache = model.backbone.new_cache()
    pieces = [
        model(sequence[..., start:end], conditioning, cache=cache)
        for start, end in ((0, 1), (1, 4), (4, 5), (5, 6))
    ]
    whole = model(sequence, conditioning)
    torch.testing.assert_close(torch.cat(pieces, dim=2), whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_guesses_know_only_what_comes_before_in_the_pattern(pattern):
    model, codes = build(pattern), some_codes()
    steps = model.make_pattern(LENGTH).frames
    logits = model.code_logits(codes, NO_CONDITIONING)
    codebook, frame = 1, 2
    changed = codes.clone()
    changed[:, codebook, frame] = (changed[:, codebook, frame] + 1) % SIZE
    moved = model.code_logits(changed, NO_CONDITIONING).values != logits.values
    (here,) = (steps[codebook] == frame).nonzero().flatten()
    for q in range(CODEBOOKS):
        for place in range(LENGTH):
            if logits.mask[q, place]:
                (step,) = (steps[q] == place).nonzero().flatten()
                assert moved[:, q, place].any().item() == (step > here).item()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_greedy_codes_are_those_that_the_model_thinks_likeliest(pattern):
    model = build(pattern)
    prompt = some_codes(frames=2)
    codes = generate(model, prompt)
    assert codes.shape == (2, CODEBOOKS, LENGTH)
    assert torch.equal(codes[..., :2], prompt)
    logits = model.code_logits(codes, NO_CONDITIONING)
    made = logits.mask[:, 2:]
    assert torch.equal(codes[..., 2:][:, made], logits.values.argmax(-1)[..., 2:][:, made])


def test_generation_depends_on_the_generator_alone():
    model = build()
    first, again, other = (
        generate(model, choose=RANDOM, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= 0
    assert first.max() < SIZE


def test_guidance_exaggerates_what_conditions_change():
    options = {**CROSS, **PREPEND}
    model, conditioning = build("parallel", **options), conditioning_for(options)
    codes = generate(model, conditioning=conditioning, guidance_scale=3.0)
    values = [
        model.code_logits(codes, given).values for given in (conditioning, conditioning.dropped())
    ]
    guided = values[1] + (values[0] - values[1]) * 3.0
    assert torch.equal(codes, guided.argmax(-1))


def test_a_negative_condition_may_have_another_length():
    model = build("parallel", **CROSS)
    conditioning = conditioning_for(CROSS)
    negative = Conditioning(cross_attention=torch.randn(2, 5, 6))
    codes = generate(model, conditioning=conditioning, guidance_scale=2.0, negative=negative)
    values = [model.code_logits(codes, given).values for given in (conditioning, negative)]
    guided = values[1] + (values[0] - values[1]) * 2.0
    assert torch.equal(codes, guided.argmax(-1))


def test_progress_is_told():
    calls = []
    generate(build("parallel"), callback=lambda *call: calls.append(call))
    assert calls == [(step, LENGTH) for step in range(1, LENGTH + 1)]


def test_a_prompt_that_leaves_nothing_to_do_is_refused():
    with pytest.raises(ValueError, match="prompt of 5 frames leaves none of 5"):
        generate(build(), some_codes())


LOGITS = torch.tensor([2.0, 1.0, 0.0, -9.0]).repeat(2000, 1)


@pytest.mark.parametrize(
    ("settings", "want"),
    [
        ({}, [0.665, 0.245, 0.090, 0.0]),
        ({"top_k": 9}, [0.665, 0.245, 0.090, 0.0]),
        ({"top_k": 2}, [0.731, 0.269, 0.0, 0.0]),
        ({"top_p": 0.6}, [1.0, 0.0, 0.0, 0.0]),
        ({"top_p": 0.7, "top_k": 1}, [0.731, 0.269, 0.0, 0.0]),
        ({"temperature": 0.5}, [0.867, 0.117, 0.016, 0.0]),
        ({"temperature": 0.0}, [1.0, 0.0, 0.0, 0.0]),
    ],
)
def test_codes_are_drawn_with_their_probabilities(settings, want):
    choose = TokenChoice(**{"temperature": 1.0, "top_k": 0, "top_p": 0.0, **settings})
    drawn = choose(LOGITS, generator=torch.Generator().manual_seed(0))
    shares = drawn.bincount(minlength=4) / len(drawn)
    torch.testing.assert_close(shares, torch.tensor(want), rtol=0, atol=0.04)


def test_losses_are_of_the_codes_that_count():
    values = torch.randn(1, 2, 3, 4)
    mask = torch.tensor([[True, True, True], [False, True, True]])
    codes = torch.tensor([[[1, 2, 3], [0, 0, 1]]])
    padding = torch.tensor([[True, True, False]])
    losses = code_losses(CodeLogits(values, mask), codes, padding_mask=padding)
    log = values.log_softmax(-1)
    torch.testing.assert_close(losses[0], -(log[0, 0, 0, 1] + log[0, 0, 1, 2]) / 2)
    torch.testing.assert_close(losses[1], -log[0, 1, 1, 0])


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"conformer": True}, "conformer"),
        ({"ff_kwargs": {"use_conv": True}}, r"ff_kwargs\.use_conv"),
        ({"attn_kwargs": {"feat_scale": True}}, r"attn_kwargs\.feat_scale"),
    ],
)
def test_networks_that_look_ahead_are_refused(options, name):
    with pytest.raises(ValueError, match=f"{name} looks ahead"):
        build(**options)


def test_conditions_without_a_way_in_and_other_codebooks_are_refused():
    model = build()
    with pytest.raises(ValueError, match="takes no prepend condition"):
        model(some_codes(), conditioning_for(PREPEND))
    with pytest.raises(ValueError, match="of 4 codebooks, got 2"):
        model(some_codes()[:, :2], NO_CONDITIONING)


def audio_model(**lm):
    sizes = {"channels": 4, "c_mults": [1], "strides": [2]}
    autoencoder = {
        "encoder": {"type": "oobleck", "config": {"in_channels": 1, "latent_dim": 6, **sizes}},
        "decoder": {"type": "oobleck", "config": {"out_channels": 1, "latent_dim": 6, **sizes}},
        "bottleneck": {
            "type": "dac_rvq",
            "config": {"input_dim": 6, "n_codebooks": 4, "codebook_size": 7, "codebook_dim": 3},
        },
        "latent_dim": 6,
        "downsampling_ratio": 2,
        "io_channels": 1,
    }
    model = {
        "pretransform": {"type": "autoencoder", "config": autoencoder},
        "lm": {"type": "continuous_transformer", "config": {**SIZES, **CROSS}, **lm},
        "conditioning": {"cond_dim": 6, "configs": [{"id": "bpm", "type": "int", "config": {}}]},
    }
    document = {"model_type": "lm", "sample_rate": 8000, "sample_size": 64, "audio_channels": 1}
    return build_model(sat_config.decode({**document, "model": model}))


def test_audio_turns_into_codes_and_back():
    model = audio_model()
    codes = model.to_codes(torch.randn(2, 1, 16))
    assert codes.shape == (2, CODEBOOKS, 8)
    assert model.hop_length == 2
    assert model.to_audio(codes).shape == (2, 1, 16)


def test_metadata_steers_the_model_and_the_pretransform_stays_frozen():
    model = audio_model(cross_attention_cond_ids=["bpm"]).train()
    assert not model.pretransform.training
    for parameter in model.lm.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    codes = some_codes()
    one, other = (model(codes, model.condition([{"bpm": bpm}] * 2)).values for bpm in (90, 140))
    assert not torch.equal(one, other)
    one.square().sum().backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    assert any(name.startswith("conditioner.") for name in trained)
    assert not any(name.startswith("pretransform.") for name in trained)


def test_without_conditions_nothing_steers_the_model():
    assert audio_model().condition([{"bpm": 3}]) == NO_CONDITIONING
