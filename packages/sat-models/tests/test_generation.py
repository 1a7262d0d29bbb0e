import pytest
import tiny_models
import torch
from tiny_models import SAMPLE_RATE, SAMPLE_SIZE, build, conditional

import sat_config
from sat_config.audio.inference import Inference
from sat_models.audio import read_audio, write_audio
from sat_models.build import build_model
from sat_models.errors import GenerationError, SamplerError
from sat_models.generation import generate
from sat_models.prepare import fit_length

TYPES = list(tiny_models.MODELS)
PROMPT = ({"prompt": "jazz"},)


@pytest.fixture
def clip(tmp_path):
    """A file of 40 samples, at the models' rate."""
    path = tmp_path / "clip.wav"
    write_audio(path, 0.5 * torch.rand(2, 40), sample_rate=SAMPLE_RATE)
    return str(path)


def run(model, *, progress=lambda done, total: None, **settings):
    settings = {"steps": 2, "seed": 1, "conditioning": PROMPT, **settings}
    return generate(model, Inference(**settings), sample_size=SAMPLE_SIZE, progress=progress)


def settings_for(model_type, clip):
    """What each type cannot do without."""
    needs = {
        "diffusion_uncond": {"conditioning": ()},
        "diffusion_autoencoder": {"conditioning": (), "init_audio": clip},
        "lm": {"steps": 100},
    }
    return needs.get(model_type, {})


def watch(module):
    """The first positional argument of every call of a module."""
    seen = []
    module.register_forward_pre_hook(lambda module, args: seen.append(args[0].clone()))
    return seen


@pytest.mark.parametrize("model_type", TYPES)
def test_seed_decides_the_audio_and_nothing_outside_changes(model_type, clip):
    model, settings = build(model_type), settings_for(model_type, clip)
    before = torch.get_rng_state()
    one, again, other = (run(model, seed=seed, **settings) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.audio, again.audio)
    assert not torch.equal(one.audio, other.audio)
    assert (one.seed, one.sample_rate) == (3, SAMPLE_RATE)
    assert one.audio.shape == (1, 2, SAMPLE_SIZE)
    assert one.audio.isfinite().all()
    assert not one.audio.requires_grad


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize("samples", [1, 20, 100])
def test_clips_are_as_long_and_as_many_as_asked_for(model_type, samples, clip):
    settings = settings_for(model_type, clip)
    if model_type == "lm":
        settings["num_samples"] = 3
    made = run(
        build(model_type), **{"num_samples": 3, "seconds": samples / SAMPLE_RATE, **settings}
    )
    assert made.audio.shape == (3, 2, samples)
    assert not torch.equal(made.audio[0], made.audio[1])


@pytest.mark.parametrize("model_type", TYPES)
def test_progress_is_told(model_type, clip):
    calls = []
    run(
        build(model_type),
        progress=lambda *call: calls.append(call),
        **settings_for(model_type, clip),
    )
    last = len(calls)
    assert calls == [(step, last) for step in range(1, last + 1)]
    assert model_type == "lm" or last == 2


@pytest.mark.parametrize(("sampler", "total"), [("k-dpm-fast", 2), ("k-dpm-adaptive", None)])
def test_progress_of_samplers_that_choose_their_steps(sampler, total):
    calls = []
    run(
        build("diffusion_cond"),
        sampler=sampler,
        steps=4,
        progress=lambda *call: calls.append(call),
    )
    assert {known for _, known in calls} == {total}
    assert total in (None, len(calls))


def test_a_seed_is_drawn_and_told_where_there_is_none():
    model = build("diffusion_cond")
    made = run(model, seed=None)
    assert torch.equal(run(model, seed=made.seed).audio, made.audio)
    assert run(model, seed=None).seed != made.seed


def test_the_sampler_is_the_one_that_suits_the_model_unless_another_is_named():
    flow = build("diffusion_cond", conditional(objective="rectified_flow"))
    torch.testing.assert_close(run(flow).audio, run(flow, sampler="euler").audio)
    assert not torch.equal(run(flow).audio, run(flow, sampler="rk4").audio)
    with pytest.raises(SamplerError, match="'dpmpp-2m' is not for a model that predicts"):
        run(flow, sampler="dpmpp-2m")


def test_the_shift_of_the_model_is_honoured():
    shift = {"min_length": 2, "max_length": 8, "base_shift": 1.0}
    model = conditional(objective="rectified_flow")
    shifted = conditional(objective="rectified_flow", distribution_shift_options=shift)
    config = shifted["diffusion"]["config"]
    shifted["diffusion"]["distribution_shift_options"] = config.pop("distribution_shift_options")
    plain, moved = (build("diffusion_cond", one) for one in (model, shifted))
    moved.load_state_dict(plain.state_dict())
    times = []
    moved.model.register_forward_pre_hook(lambda module, args: times.append(args[1][0].item()))
    run(moved, steps=2)
    assert times[0] == 1
    assert times[1] == pytest.approx(moved.distribution_shift.at(0.5, frames=8))


def test_guidance_follows_the_table():
    model = build("diffusion_cond")
    guided = run(model)
    for change in ({"cfg_scale": 1.0}, {"scale_phi": 0.7}, {"cfg_interval": (0.0, 0.9)}):
        assert not torch.equal(run(model, **change).audio, guided.audio), change


def test_prompts_steer_and_negative_prompts_lead_away():
    model = build("diffusion_cond")
    jazz, rock = (run(model, conditioning=({"prompt": name},)).audio for name in ("jazz", "rock"))
    assert not torch.equal(jazz, rock)
    away = run(model, negative_conditioning=({"prompt": "rock"},)).audio
    assert not torch.equal(away, jazz)
    same = run(model, negative_conditioning=({"prompt": "jazz"},)).audio
    torch.testing.assert_close(same, run(model, cfg_scale=1.0).audio, rtol=1e-3, atol=1e-4)


def test_every_clip_may_have_conditions_of_its_own():
    model = build("diffusion_cond")
    entries = ({"prompt": "jazz"}, {"prompt": "rock"})
    both = run(model, num_samples=2, conditioning=entries).audio
    one_for_all = run(model, num_samples=2, conditioning=entries[:1]).audio
    torch.testing.assert_close(both[0], one_for_all[0])
    assert not torch.equal(both[1], one_for_all[1])


def test_length_is_told_to_models_that_want_to_know_it():
    model = build("diffusion_cond")
    asked = []
    conditioner = model.conditioner.conditioners["seconds_total"]
    conditioner.register_forward_pre_hook(lambda module, args: asked.append(args[0]))
    run(model, seconds=0.01)
    run(model, conditioning=({"prompt": "jazz", "seconds_total": 30},))
    assert asked == [[0.01], [30]]


def test_a_model_with_global_conditions_alone_is_guided_by_negative_ones():
    steered = {"conditioning": {**tiny_models.CONDITIONING}, "global_cond_dim": 16}
    ids = {"global_cond_ids": ["prompt", "seconds_total"]}
    model = build("diffusion_cond", conditional(ids=ids, **steered, cond_token_dim=0))
    plain = run(model).audio
    assert torch.equal(run(model, cfg_scale=1.0).audio, plain)
    with pytest.raises(GenerationError, match=r"cfg_scale is 3, .* nothing to lead away from"):
        run(model, cfg_scale=3.0)
    negative = run(model, cfg_scale=3.0, negative_conditioning=({"prompt": "rock"},)).audio
    assert not torch.equal(negative, plain)


@pytest.mark.parametrize("model_type", ["diffusion_uncond", "diffusion_cond"])
@pytest.mark.parametrize(("sampler", "level"), [("v-ddim", 0.05), ("dpmpp-2m", 0.1)])
def test_noise_is_laid_on_the_audio_to_vary(model_type, sampler, level, clip):
    exact = {"type": "autoencoder", "config": tiny_models.coder({"type": "tanh"})}
    model = build(model_type, {**tiny_models.MODELS[model_type], "pretransform": exact})
    seen = watch(model.model)
    conditioning = () if model_type == "diffusion_uncond" else PROMPT
    for noise in (level, 20 * level if sampler == "dpmpp-2m" else 0.9):
        run(
            model,
            steps=1,
            init_audio=clip,
            init_noise_level=noise,
            sampler=sampler,
            sigma_min=0.01,
            conditioning=conditioning,
        )
    audio = fit_length(
        read_audio(clip, start=0, num_samples=40, sample_rate=SAMPLE_RATE, channels=2),
        num_samples=SAMPLE_SIZE,
    )
    distances = [(x[:1] - model.to_latents(audio[None])).abs().mean() for x in seen]
    assert distances[0] < 2 * level
    assert distances[1] > 4 * distances[0]


def test_noise_that_would_leave_nothing_of_the_audio_is_refused(clip):
    with pytest.raises(SamplerError, match=r"leaves nothing of inference\.init_audio: choose less"):
        run(build("diffusion_cond"), init_audio=clip)


def inpainted(**settings):
    """What joins the noise at the input of the first step (mask, and what is there), and a clip."""
    model = build("diffusion_cond_inpaint")
    given = []
    model.register_forward_pre_hook(lambda module, args: given.append(args[2].input_concat))
    made = run(model, cfg_scale=1.0, **settings)
    return given[0], made.audio


def test_regions_are_generated_anew_and_the_rest_is_shown(clip):
    regions = ((8 / SAMPLE_RATE, 24 / SAMPLE_RATE),)
    given, audio = inpainted(inpaint_audio=clip, inpaint_regions=regions)
    mask, shown = given[:, :1], given[:, 1:]
    assert mask[0, 0].tolist() == [1, 0, 0, 1, 1, 1, 1, 1]
    assert not shown[..., 1:3].any()
    assert shown[..., 0].any()
    assert audio.shape == (1, 2, SAMPLE_SIZE)


def test_without_audio_everything_is_generated():
    given, _ = inpainted(num_samples=2)
    assert given.shape == (2, 4, 8)
    assert not given.any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inpaint_regions": ((0.0, 0.001),)}, "belong together"),
        ({"inpaint_audio": "clip"}, "belong together"),
        ({"inpaint_audio": "clip", "inpaint_regions": ((0.1, 0.2),)}, r"\(0\.1, 0\.2\): .* 0\.008"),
        (
            {"inpaint_audio": "clip", "inpaint_regions": ((0.0, 0.002), (0.004, 0.003))},
            r"\(0\.004, 0\.003\): a region ends after it starts",
        ),
    ],
)
def test_regions_that_say_nothing_are_refused(settings, message, clip):
    settings = {key: clip if value == "clip" else value for key, value in settings.items()}
    with pytest.raises(GenerationError, match=message):
        run(build("diffusion_cond_inpaint"), **settings)


@pytest.mark.parametrize(
    ("model_type", "settings", "message"),
    [
        (
            "diffusion_uncond",
            {},
            r"conditioning: this has no effect on an unconditional",
        ),
        ("diffusion_cond", {"top_k": 3, "top_p": 0.5}, r"top_k, .*top_p: these have no effect"),
        ("diffusion_cond", {"inpaint_audio": "x.wav"}, "a diffusion model that fills no gaps"),
        ("diffusion_autoencoder", {"conditioning": ()}, r"inference\.init_audio is missing"),
        ("lm", {"steps": 9}, r"inference\.steps: this has no effect on a language model"),
    ],
)
def test_settings_without_effect_and_missing_ones_are_refused(model_type, settings, message):
    with pytest.raises(GenerationError, match=message):
        run(build(model_type), **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"conditioning": PROMPT * 2}, "has 2 entries for 1 clips: give one for all of them, or"),
        ({"conditioning": ()}, r"wants to know 'prompt' of a clip, .*\[\{ prompt = \.\.\. \}\]"),
        ({"conditioning": ({"prompd": "jazz"},)}, "has 'prompd', .* did you mean 'prompt'"),
        ({"negative_conditioning": ({"mood": 1},)}, "negative_conditioning has 'mood', which"),
        ({"negative_conditioning": PROMPT * 3}, "negative_conditioning has 3 entries for 1"),
    ],
)
def test_conditions_that_do_not_fit_the_model_are_refused(settings, message):
    with pytest.raises(GenerationError, match=message):
        run(build("diffusion_cond"), **settings)


def test_a_language_model_continues_audio(clip):
    model = build("lm")
    codes = []
    decode = model.pretransform.decode_tokens
    model.pretransform.decode_tokens = lambda tokens: codes.append(tokens) or decode(tokens)
    made = run(model, num_samples=2, init_audio=clip, steps=100)
    assert codes[0].shape == (2, 3, 8)
    start = torch.as_tensor(codes[0][..., :5])
    assert torch.equal(start[0], start[1])
    assert not torch.equal(codes[0][0, :, 5:], codes[0][1, :, 5:])
    assert made.audio.shape == (2, 2, SAMPLE_SIZE)
    with pytest.raises(GenerationError, match=r"leaves nothing to continue in a clip of 0\.005 s"):
        run(model, init_audio=clip, seconds=0.005, steps=100)


def test_guidance_of_a_language_model_is_off_unless_asked_for():
    model = build("lm")
    plain, off, on = (
        run(model, steps=100, **scale).audio
        for scale in ({}, {"cfg_scale": 1.0}, {"cfg_scale": 6.0})
    )
    assert torch.equal(plain, off)
    assert not torch.equal(plain, on)


def test_guidance_of_a_diffusion_model_is_that_of_sat_unless_asked_for():
    model = build("diffusion_cond")
    assert torch.equal(run(model).audio, run(model, cfg_scale=6.0).audio)


def test_choices_of_a_language_model_follow_the_table():
    model = build("lm")
    greedy = [run(model, temperature=0.0, seed=seed, steps=100).audio for seed in (1, 2)]
    assert torch.equal(*greedy)
    only = run(model, top_k=1, steps=100).audio
    assert torch.equal(only, greedy[0])


def test_what_does_not_generate_is_refused():
    config = tiny_models.document("autoencoder", tiny_models.coder())
    model = build_model(sat_config.decode(config))
    with pytest.raises(ValueError, match="training mode"):
        run(model)
    with pytest.raises(GenerationError, match="AudioAutoencoder generates nothing"):
        run(model.eval())
