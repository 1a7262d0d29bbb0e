import itertools

import numpy as np
import pytest
import torch

from sat_models.build import build_model
from sat_models.checkpoint import load_weights, open_checkpoint
from sat_preencode.errors import PreencodeError
from sat_preencode.windows import Cutting

SIZE = 256
HOP = 8
WINDOW = 4 * SIZE
OVERLAP = 48
"""Twice what a frame of the tiny encoder depends on, and more."""


@pytest.fixture
def one_pass(world):
    """The mean latents of a waveform, encoded at once."""
    model = build_model(world.experiment())
    load_weights(model, open_checkpoint(world.root / "vae.safetensors"))

    def encode(audio):
        with torch.inference_mode():
            return model.eval().encode(audio[None], sample=False).latents[0].numpy()

    return encode


def whole(world, **changes):
    table = {
        "whole_files": True,
        "sample_size": WINDOW,
        "window_overlap": OVERLAP,
        "latent": "mean",
    } | changes
    return world.with_table(**table)


def test_whole_file_in_windows_is_what_one_pass_makes_at_joins_as_in_the_middle(world, one_pass):
    path = world.add_clip("long.wav", 40 * SIZE + 8 * HOP, seed=5)
    world.preencode(**whole(world))
    latents = world.arrays()["music/long.wav#000000000000"]
    audio = torch.from_numpy(world.read(path)).T
    difference = np.abs(latents - one_pass(audio)).max(axis=0)
    joins = [w.keep_start for w in cutting(world).windows(latents.shape[1])][1:]
    near = {at for join in joins for at in (join - 1, join)}
    middle = [at for at in range(latents.shape[1]) if at not in near]
    assert len(joins) >= 10
    assert difference[sorted(near)].max() < 1e-5
    assert difference[middle].max() < 1e-5


def test_too_small_an_overlap_is_what_makes_seams(world, one_pass):
    path = world.add_clip("long.wav", 20 * SIZE, seed=5)
    world.preencode(**whole(world, window_overlap=0))
    latents = world.arrays()["music/long.wav#000000000000"]
    audio = torch.from_numpy(world.read(path)).T
    difference = np.abs(latents - one_pass(audio)).max(axis=0)
    frames = WINDOW // HOP
    assert difference[frames - 1 : frames + 1].max() > 100 * difference[frames // 2]


def cutting(world):
    return Cutting(sample_size=WINDOW, hop_length=HOP, whole=True, overlap=OVERLAP)


def test_items_have_the_length_of_their_files(world):
    result = world.preencode(**whole(world))
    lengths = {e["relpath"]: (e["frames"], e["valid_frames"]) for e in world.manifest()}
    samples = {"a.wav": 3 * SIZE + 100, "b/c.flac": 3 * SIZE + 70, "d.wav": 50}
    assert lengths == {name: (-(-n // HOP),) * 2 for name, n in samples.items()}
    assert result.seconds == sum(samples.values()) / 8000


def test_latents_of_whole_files_do_not_depend_on_company(world):
    world.preencode(**whole(world, latent="sample"), num_workers=2)
    alone = world.arrays()["music/d.wav#000000000000"]
    for name in ("e.wav", "f.wav"):
        world.add_clip(name, 47)
    (world.root / "audio" / "a.wav").unlink()
    table = whole(world, latent="sample", output_path=str(world.root / "other"))
    world.preencode(**table)
    np.testing.assert_array_equal(world.arrays("other")["music/d.wav#000000000000"], alone)


def test_window_that_is_all_overlap_is_refused(world):
    with pytest.raises(PreencodeError, match="a window of 1024 samples has 128"):
        world.preencode(**whole(world, window_overlap=128))


@pytest.mark.parametrize("frames", [1, 2, 127, 128, 129, 240, 2000])
def test_windows_keep_every_frame_once(frames):
    windows = cutting(None).windows(frames)
    kept = list(itertools.chain(*(range(w.keep_start, w.keep_stop) for w in windows)))
    assert kept == list(range(frames))
    assert all(w.stop - w.start <= cutting(None).window(frames) for w in windows)
