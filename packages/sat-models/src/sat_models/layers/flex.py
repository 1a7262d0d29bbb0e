"""Windows through FlexAttention (Dong et al. 2024, 2412.05496), where torch and the device have it.

On a graphics card, torch compiles a window into one kernel that leaves out what no token sees. Not
run on a GPU. On a CPU it has no gradients and takes most of a minute to compile, and uncompiled it
computes all products: there the blocks of `window.py` serve.
"""

from collections.abc import Callable
from functools import cache, lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

FIRST_TORCH = "2.6"
LEAST_WIDTH = 16
BLOCK = 128
"""Queries, and keys, that are computed or left out together; in those computed, a mask decides."""


def flex_serves(query: Float[Tensor, "b h l d"]) -> bool:
    """Whether flex attention is the way for these queries to attend within a window.

    It takes torch 2.6, Triton, a CUDA device, and heads whose width is a power of two from 16 on.
    """
    width = query.shape[-1]
    fits = width >= LEAST_WIDTH and width & (width - 1) == 0
    return query.is_cuda and fits and _is_installed()


def attend_with_flex(
    query: Float[Tensor, "b h l d"],
    key: Float[Tensor, "b h l d"],
    value: Float[Tensor, "b h l d"],
    *,
    before: int | None,
    after: int | None,
    key_mask: Bool[Tensor, "b l"] | None,
) -> Float[Tensor, "b h l d"]:
    """Attention within a window; compiled, except on a CPU.

    Args:
        query: The tokens that gather.
        key: What they are compared with.
        value: What they gather.
        before: How many tokens before itself a token sees; None sets no limit.
        after: How many after itself.
        key_mask: True for the tokens that are seen at all; a query that sees none gathers zeros.
    """
    result: Tensor = _kernel(query.device)(
        query,
        key,
        value,
        score_mod=None if key_mask is None else _only(key_mask),
        block_mask=_block_mask(before, after, query.shape[-2], query.device),
    )
    return result


@cache
def _is_installed() -> bool:
    return torch.__version__ >= FIRST_TORCH and find_spec("triton") is not None


def _kernel(device: torch.device) -> Callable[..., Any]:
    """Flex attention; inside a graph that is compiled anyway, and on a CPU, as it stands."""
    from torch.nn.attention.flex_attention import flex_attention

    plain = device.type == "cpu" or torch.compiler.is_compiling()
    return flex_attention if plain else _compiled()


@cache
def _compiled() -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    compiled: Callable[..., Any] = torch.compile(flex_attention)
    return compiled


def _only(key_mask: Tensor) -> Callable[..., Tensor]:
    def score(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return torch.where(key_mask[batch, key], score, float("-inf"))

    return score


@lru_cache(maxsize=64)
def _block_mask(
    before: int | None, after: int | None, length: int, device: torch.device
) -> "BlockMask":
    """Which blocks of keys each block of queries meets, without a mask of all pairs of tokens."""
    from torch.nn.attention.flex_attention import BlockMask

    def seen(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        near = key >= (0 if before is None else query - before)
        return near if after is None else near & (key <= query + after)

    count = -(-length // BLOCK)
    start = torch.arange(count, device=device) * BLOCK
    first = torch.zeros_like(start) if before is None else (start - before).clamp(min=0) // BLOCK
    last = torch.full_like(start, count - 1)
    if after is not None:
        last = last.minimum((start + BLOCK - 1 + after) // BLOCK)
    met = (first[:, None] + torch.arange(count, device=device)).clamp(max=count - 1)
    mask: BlockMask = BlockMask.from_kv_blocks(
        (last - first + 1).int()[None, None],
        met.int()[None, None],
        BLOCK_SIZE=BLOCK,
        mask_mod=seen,
        seq_lengths=(length, length),
    )
    return mask
