"""Stages of convolutions, worked through in pieces that stay in a processor's cache.

A layer at the full sample rate makes tens of megabytes for a second of audio, and most of a
processor's time would go into carrying them to memory and back. A piece of a few thousand samples
stays in the cache from the first layer of a stage to the last. Beside what is kept of a piece, its
neighbourhood is computed as far as the kept part depends on it, so the values are those of one
pass, up to the order of sums.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat_models.layers.conv import channels_last, held_kernels

PIECE_BYTES = 1 << 19
"""Of a piece between two layers: together with what a layer makes of it, it fits into a cache."""

SHARED_PIECE_BYTES = 1 << 24
"""The same where several threads share each layer, and wait for one another after it.

With a quarter of it, threads that spin while they wait made a small decoder slower than
stable-audio-tools' on two cores that were busy with other work; at rest, speed is the same.
"""

SHORT_SHARED_PIECE_BYTES = 1 << 22
"""The same in two bytes per value: bfloat16 convolves so fast that it would wait for memory.

The full-size decoder takes 0.56 s for 32 frames on two cores, and 1.2 s with four times as much.
"""

MARGINS_PER_PIECE = 24
"""A piece is at least that many times as long as what is computed beside it on each side."""


def in_pieces(
    layers: nn.Module,
    x: Float[Tensor, "b c t"],
    *,
    width: int,
    reach: int,
    up: int = 1,
    down: int = 1,
) -> Float[Tensor, "b c2 t2"]:
    """Apply layers to a signal, in pieces if it is long and nothing is learned from it.

    Pieces are for processors and eager code: a graphics card is slower with many small calls, and
    `torch.compile` makes a graph of its own.

    Args:
        layers: Convolutions and elementwise functions; zeros are beyond the ends of each.
        x: The signal.
        width: Channels where there are most samples.
        reach: How many samples to each side a result depends on, where there are most samples.
        up: Samples that come out for each that goes in.
        down: Samples that go in for each that comes out; one of `up` and `down` is 1.
    """
    if not _may_cut(layers, x):
        result: Tensor = layers(x)
        return result
    rate = max(up, down)
    margin = math.ceil(reach / rate) + 2  # of the side with fewer samples, as all that follows
    sample_bytes = x.shape[0] * width * x.element_size()
    fitting = _piece_bytes(x) // (sample_bytes * rate)
    size = max(fitting, MARGINS_PER_PIECE * 2 * margin)
    frames = x.shape[-1] // down
    if frames < size:
        whole: Tensor = layers(x)
        return whole
    joined: Tensor | None = None
    with held_kernels(layers):
        for start in reversed(range(0, frames, size)):  # the last one tells how long the whole is
            first, stop = max(start - margin, 0), start + size
            end = None if stop + margin >= frames else (stop + margin) * down
            keep_end = None if stop >= frames else (stop - first) * up
            piece = layers(channels_last(x[..., first * down : end]))
            kept = piece[..., (start - first) * up : keep_end]
            if joined is None:
                length = start * up + kept.shape[-1]
                joined = piece.new_empty(piece.shape[0], length, piece.shape[1]).mT
            joined[..., start * up : start * up + kept.shape[-1]] = kept
    assert joined is not None  # noqa: S101 - there is at least one piece
    return joined


def _piece_bytes(x: Tensor) -> int:
    if torch.get_num_threads() == 1:
        return PIECE_BYTES
    return SHARED_PIECE_BYTES if x.element_size() > 2 else SHORT_SHARED_PIECE_BYTES


def _may_cut(layers: nn.Module, x: Tensor) -> bool:
    """Whether pieces pay, and nothing asks for gradients, which keep everything in memory."""
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    learns = x.requires_grad or any(p.requires_grad for p in layers.parameters())
    return not (learns and torch.is_grad_enabled())
