"""Attention that reaches only so far, at a cost that grows with the length and not its square."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Window:
    """How far a token sees.

    Attributes:
        before: Tokens before itself; None sets no limit.
        after: Tokens after itself; None sets no limit, 0 makes attention causal.
    """

    before: int | None
    after: int | None

    def within(self, length: int) -> "Window":
        """The same for a sequence of `length` tokens, without limits that it cannot reach."""
        before, after = (
            None if reach is None or reach >= length - 1 else reach
            for reach in (self.before, self.after)
        )
        return Window(before, after)


EVERYWHERE = Window(None, None)
CAUSAL = Window(None, 0)


def attend(
    query: Float[Tensor, "b h l d"],
    key: Float[Tensor, "b h k d"],
    value: Float[Tensor, "b h k d"],
    *,
    window: Window,
) -> Float[Tensor, "b h l d"]:
    """Scaled dot-product attention (Vaswani et al. 2017, 1706.03762) within a window.

    Args:
        query: The tokens that gather.
        key: What they are compared with.
        value: What they gather.
        window: How far they see. With a limit, `k` must be `l`.
    """
    length = query.shape[-2]
    if window != EVERYWHERE:
        window = window.within(length)
    if window == EVERYWHERE:
        return functional.scaled_dot_product_attention(query, key, value)
    if window == CAUSAL:
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    before, after = window.before, window.after
    if before is not None and after is not None and length > before + 1 + after:
        return _attend_in_blocks(query, key, value, before, after)
    seen = torch.ones(length, length, dtype=torch.bool, device=query.device)
    if before is not None:
        seen = seen.triu(-before)
    if after is not None:
        seen = seen.tril(after)
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)


def _attend_in_blocks(query: Tensor, key: Tensor, value: Tensor, before: int, after: int) -> Tensor:
    """Cut the queries into blocks; each block meets the keys that any of its queries can see.

    A block has as many queries as a query sees keys, so that half of all products are of use.
    """
    batch, _, length, _ = query.shape
    block = before + after + 1
    fill = -length % block
    query = functional.pad(query, (0, 0, 0, fill))
    query = rearrange(query, "b h (n i) d -> (b h) n i d", i=block)
    key, value = (_overlapping(x, block, before, after, fill) for x in (key, value))
    seen = _visible(length, block, before, after, query.device)
    gathered = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
    return rearrange(gathered, "(b h) n i d -> b h (n i) d", b=batch)[..., :length, :]


def _overlapping(x: Tensor, block: int, before: int, after: int, fill: int) -> Tensor:
    padded = functional.pad(x, (0, 0, before, after + fill))
    blocks = padded.unfold(-2, block + before + after, block)
    return rearrange(blocks, "b h n d j -> (b h) n j d")


def _visible(
    length: int, block: int, before: int, after: int, device: torch.device
) -> Bool[Tensor, "n i j"]:
    """Which keys of its block a query sees; those that fill the last block see all of it."""
    start = torch.arange(0, length, block, device=device)[:, None, None]
    query = start + torch.arange(block, device=device)[:, None]
    key = start - before + torch.arange(block + before + after, device=device)
    near = (key >= query - before) & (key <= query + after)
    return (near & (key >= 0) & (key < length)) | (query >= length)
