import msgspec
import pytest
import torch

from sat_config.audio.autoencoder import AutoencoderConfig
from sat_models.models.autoencoder import build_autoencoder
from sat_models.models.chunks import Chunk, decode_in_chunks, encode_in_chunks, plan_chunks

CODER = {"channels": 4, "c_mults": [1, 2], "strides": [2, 4]}
AUTOENCODER = {
    "encoder": {"type": "oobleck", "config": {**CODER, "latent_dim": 6}},
    "decoder": {"type": "oobleck", "config": {**CODER, "latent_dim": 3}},
    "bottleneck": {"type": "vae"},
    "latent_dim": 3,
    "downsampling_ratio": 8,
    "io_channels": 2,
}


def test_plan_of_a_short_sequence_is_one_chunk():
    assert plan_chunks(5, chunk=8, overlap=2) == [Chunk(0, 5, 0, 5)]


def test_plan_splits_the_overlap_between_neighbours():
    assert plan_chunks(14, chunk=8, overlap=2) == [Chunk(0, 8, 0, 7), Chunk(6, 14, 7, 14)]


def test_last_chunk_ends_with_the_sequence():
    assert plan_chunks(16, chunk=8, overlap=2)[-1] == Chunk(8, 16, 9, 16)


@pytest.mark.parametrize("overlap", [0, 3, 7])
@pytest.mark.parametrize("frames", range(1, 40))
def test_plan_keeps_every_frame_once_from_a_chunk_that_has_it(frames, overlap):
    chunks = plan_chunks(frames, chunk=8, overlap=overlap)
    kept = [f for chunk in chunks for f in range(chunk.keep_start, chunk.keep_stop)]
    assert kept == list(range(frames))
    assert all(chunk.start <= chunk.keep_start for chunk in chunks)
    assert all(chunk.keep_stop <= chunk.stop for chunk in chunks)
    assert all(chunk.stop - chunk.start == min(8, frames) for chunk in chunks)


def test_overlap_as_long_as_the_chunk_is_refused():
    with pytest.raises(ValueError, match="from 0 to 7 frames, got 8"):
        plan_chunks(20, chunk=8, overlap=8)


def test_chunks_with_enough_overlap_agree_with_one_pass():
    model = build_autoencoder(msgspec.convert(AUTOENCODER, AutoencoderConfig), sample_rate=8000)
    audio = torch.randn(1, 2, 8 * 60)
    with torch.no_grad():
        whole = model.encode(audio, sample=False).latents
        parts = encode_in_chunks(model, audio, chunk=40, overlap=30, sample=False)
        torch.testing.assert_close(parts, whole)
        decoded = decode_in_chunks(model, whole, chunk=40, overlap=30)
        torch.testing.assert_close(decoded, model.decode(whole))


@pytest.mark.parametrize("frames", [1, 7, 39])
def test_signal_shorter_than_a_chunk_is_one_pass(frames):
    model = build_autoencoder(msgspec.convert(AUTOENCODER, AutoencoderConfig), sample_rate=8000)
    audio = torch.randn(2, 2, 8 * frames)
    with torch.no_grad():
        whole = model.encode(audio, sample=False).latents
        parts = encode_in_chunks(model, audio, chunk=40, overlap=30, sample=False)
        torch.testing.assert_close(parts, whole, rtol=0, atol=0)
        decoded = decode_in_chunks(model, whole, chunk=40, overlap=30)
        torch.testing.assert_close(decoded, model.decode(whole), rtol=0, atol=0)
