"""Models learn: small ones, in seconds, on four clips that they come to know by heart."""

import tiny_models
import torch
from tiny_models import DIT

import sat_config
from sat_config.audio.inference import Inference
from sat_models.build import build_model
from sat_models.generation import generate
from sat_models.language.choice import TokenChoice
from sat_models.language.codes import code_losses
from sat_models.language.generate import generate_codes

NAMES = ("rock", "jazz", "folk", "silence")
FRAMES, STEPS = 16, 100


def four_clips():
    """Two channels of sines, each clip with a pitch of its own."""
    time = torch.arange(FRAMES) / FRAMES * 2 * torch.pi
    pitches = torch.tensor([0.0, 1.0, 2.0, 3.0])[:, None]
    return torch.stack(((pitches * time).sin(), (pitches * time).cos()), dim=1)  # b c t


def conditional_model():
    options = {"id": "prompt", "type": "list", "config": {"options": list(NAMES)}}
    model = {
        "io_channels": 2,
        "conditioning": {"cond_dim": 8, "configs": [options]},
        "diffusion": {
            "type": "dit",
            "prepend_cond_ids": ["prompt"],
            "diffusion_objective": "rectified_flow",
            "config": {**DIT, "io_channels": 2, "prepend_cond_dim": 8},
        },
    }
    document = tiny_models.document("diffusion_cond", model, sample_size=FRAMES)
    return build_model(sat_config.decode(document))


def train_on_clips(prompts_of_step):
    """A model after a few steps, each with all clips at four times."""
    torch.manual_seed(0)
    model, clips = conditional_model(), four_clips().repeat(4, 1, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(STEPS):
        metadata = [{"prompt": NAMES[index]} for index in prompts_of_step(step)] * 4
        noise, t = torch.randn_like(clips), torch.rand(len(clips))
        noisy, target = model.objective.training_pair(clips, noise, t)
        loss = (model(noisy, t, model.condition(metadata)) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def follows_prompts(model):
    """Whether each prompt's clip is nearest to its own of the four."""
    entries = tuple({"prompt": name} for name in NAMES)
    wanted = Inference(steps=8, seed=5, num_samples=4, cfg_scale=1.0, conditioning=entries)
    made = generate(model, wanted, sample_size=FRAMES).audio
    distances = torch.cdist(made.flatten(1), four_clips().flatten(1))
    return distances.argmin(dim=1).tolist() == [0, 1, 2, 3]


def test_a_model_that_was_trained_with_prompts_follows_them():
    assert follows_prompts(train_on_clips(lambda step: range(4)))


def test_a_model_that_was_trained_with_shuffled_prompts_does_not():
    generator = torch.Generator().manual_seed(0)
    assert not follows_prompts(
        train_on_clips(lambda step: torch.randperm(4, generator=generator).tolist())
    )


def test_a_language_model_says_by_heart_what_it_was_taught():
    torch.manual_seed(0)
    model = build_model(sat_config.decode(tiny_models.document("lm")))
    codes = torch.randint(8, (2, 3, 12))
    conditioning = model.condition([{"prompt": "rock"}, {"prompt": "jazz"}])
    everywhere = torch.ones(2, 12, dtype=torch.bool)
    optimizer = torch.optim.Adam(model.lm.parameters(), lr=5e-3)
    for _ in range(80):
        loss = code_losses(model(codes, conditioning), codes, padding_mask=everywhere).mean()
        optimizer.zero_grad()
        loss.backward(retain_graph=True)
        optimizer.step()
    said = generate_codes(
        model.eval().lm,
        conditioning,
        prompt=codes[..., :1],
        num_frames=12,
        choose=TokenChoice(temperature=0.0, top_k=0, top_p=0.0),
        guidance_scale=1.0,
    )
    # Delayed codebooks are not taught the end: see `CodeLanguageModel.code_logits`.
    taught = model(codes, conditioning).mask
    assert torch.equal(said[:, taught], codes[:, taught])
