"""Attention that reaches only so far, at a cost that grows with the length and not its square."""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from sat_models.layers.flex import attend_with_flex, flex_serves


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
    key_mask: Bool[Tensor, "b k"] | None = None,
) -> Float[Tensor, "b h l d"]:
    """Scaled dot-product attention (Vaswani et al. 2017, 1706.03762) within a window.

    A window that limits both sides costs as much as it is wide: through flex attention where that
    serves (see `flex.py`), in blocks elsewhere. With a limit on one side, it is a mask elsewhere.

    Args:
        query: The tokens that gather. With a limit, they are the last `l` of the `k` tokens.
        key: What they are compared with.
        value: What they gather.
        window: How far they see.
        key_mask: True for the tokens that are seen at all; a query that sees none gathers zeros or
            something finite.
    """
    length, offset = key.shape[-2], key.shape[-2] - query.shape[-2]
    if window != EVERYWHERE:
        window = window.within(length)
    if window == EVERYWHERE:
        return _attend_anywhere(query, key, value, key_mask=key_mask)
    if window == CAUSAL and key_mask is None and offset == 0:
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    if offset == 0 and flex_serves(query):
        return attend_with_flex(
            query, key, value, before=window.before, after=window.after, key_mask=key_mask
        )
    if window.before is not None and window.after is not None and offset == 0:
        return _attend_in_blocks(query, key, value, window=window, key_mask=key_mask)
    seen = torch.ones(query.shape[-2], length, dtype=torch.bool, device=query.device)
    if window.before is not None:
        seen = seen.triu(offset - window.before)
    if window.after is not None:
        seen = seen.tril(offset + window.after)
    if key_mask is not None:
        seen = _never_blind(seen & key_mask[:, None, None])
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)


def _attend_anywhere(
    query: Tensor, key: Tensor, value: Tensor, *, key_mask: Tensor | None
) -> Tensor:
    if key_mask is None:
        return functional.scaled_dot_product_attention(query, key, value)
    any_seen = key_mask.any(-1)[:, None, None, None]
    seen = key_mask[:, None, None] | ~any_seen
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=seen) * any_seen


def _never_blind(seen: Tensor) -> Tensor:
    """Let a query that sees nothing see everything: its softmax would be undefined."""
    return seen | ~seen.any(-1, keepdim=True)


def _attend_in_blocks(
    query: Tensor, key: Tensor, value: Tensor, *, window: Window, key_mask: Tensor | None
) -> Tensor:
    """Cut the queries into blocks; each block meets the keys that any of its queries can see.

    A block has as many queries as a query sees keys, so that half of all products are of use.
    """
    before, after = window.before or 0, window.after or 0
    batch, heads, length, _ = query.shape
    block = before + after + 1
    fill = -length % block
    query = functional.pad(query, (0, 0, 0, fill))
    query = rearrange(query, "b h (n i) d -> (b h) n i d", i=block)
    key, value = (_overlapping(x, block, before, after, fill) for x in (key, value))
    seen = _visible(length, block, before, after, query.device)
    if key_mask is not None:
        known = _overlapping(key_mask[:, None, :, None], block, before, after, fill)
        known = rearrange(known, "b n j 1 -> b n 1 j")
        seen = _never_blind(seen & known).repeat_interleave(heads, dim=0)
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
