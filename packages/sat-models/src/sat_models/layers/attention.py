"""Attention between tokens."""

from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from sat_models.layers.norm import DynamicTanh
from sat_models.layers.rotary import Rotation
from sat_models.layers.window import EVERYWHERE, Window, attend

QKNorm = Literal["none", "l2", "ln", "dyt"]
"""Normalisation of queries and keys: none, to unit length, layer norm, dynamic tanh."""

QK_EPSILON = 1e-6


@dataclass
class AttentionCache:
    """What a layer keeps of the tokens that it has seen, to generate one token after another.

    Attributes:
        keys: Of the sequence so far, normalised and turned.
        values: Of the sequence so far.
        context: Heads of the context, which stays the same.
    """

    keys: Float[Tensor, "n b h k d"] | None = None
    values: Float[Tensor, "b h k d"] | None = None
    context: Float[Tensor, "n b h k d"] | None = None

    @property
    def length(self) -> int:
        """Tokens so far."""
        return 0 if self.keys is None else self.keys.shape[-2]

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add new tokens, and return those of all."""
        if self.keys is not None and self.values is not None:
            keys = torch.cat((self.keys, keys), dim=-2)
            values = torch.cat((self.values, values), dim=-2)
        self.keys, self.values = keys, values
        return keys, values


class _Attention(nn.Module):
    """What both kinds of attention share: everything after the projections."""

    def __init__(
        self,
        width: int,
        *,
        num_heads: int,
        qk_norm: QKNorm,
        differential: bool,
        feature_scale: bool,
        zero_init: bool,
    ) -> None:
        super().__init__()
        if width % num_heads:
            raise ValueError(f"{num_heads} attention heads do not divide a width of {width}")
        self.head_width = width // num_heads
        self.num_maps = 2 if differential else 1
        self.to_out = nn.Linear(width, width, bias=False)
        if zero_init:
            nn.init.zeros_(self.to_out.weight)
        self.q_norm = _make_qk_norm(qk_norm, self.head_width)
        self.k_norm = _make_qk_norm(qk_norm, self.head_width)
        self.feature_scale = feature_scale
        if feature_scale:
            self.lambda_dc = nn.Parameter(torch.zeros(width))
            self.lambda_hf = nn.Parameter(torch.zeros(width))

    def _heads(self, projected: Float[Tensor, "b l f"], parts: int) -> Float[Tensor, "n b h l d"]:
        return rearrange(projected, "b l (n h d) -> n b h l d", n=parts, d=self.head_width)

    def _normalize(self, x: Tensor, norm: nn.Module, *, rotation: Rotation | None) -> Tensor:
        normal = norm(x).to(x.dtype)  # under autocast norms give float32
        return normal if rotation is None else rotation.apply(normal)

    def _gather(
        self,
        queries: Float[Tensor, "n b h l d"],
        keys: Float[Tensor, "n b h k d"],
        values: Float[Tensor, "b h k d"],
        *,
        window: Window,
        key_mask: Bool[Tensor, "b k"] | None,
    ) -> Float[Tensor, "b l e"]:
        """Attend with each of `n` pairs of queries and keys, and bring the heads together."""
        maps = [
            attend(query, key, values, window=window, key_mask=key_mask)
            for query, key in zip(queries, keys, strict=True)
        ]
        gathered = maps[0] - maps[1] if self.num_maps == 2 else maps[0]  # b h l d
        result: Tensor = self.to_out(rearrange(gathered, "b h l d -> b l (h d)"))
        return result

    def _weigh(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if not self.feature_scale:
            return x
        if mask is None:
            mean = x.mean(dim=1, keepdim=True)
        else:
            weights = mask[..., None].to(x.dtype)
            mean = (x * weights).sum(dim=1, keepdim=True) / weights.sum(dim=1, keepdim=True)
        return x + self.lambda_dc * mean + self.lambda_hf * (x - mean)


class SelfAttention(_Attention):
    """Multi-head attention of a sequence to itself (Vaswani et al. 2017, 1706.03762), no biases.

    Differential attention is the difference of two attentions to the same values, without the
    learned weight and the norm of Ye et al. 2024 (2410.05258), as in SAT.

    Deviations from SAT: the window is heeded everywhere, there only where flash-attn is installed;
    and arithmetic is in the dtype of the input, where flash-attn there turns float32 into float16.
    """

    def __init__(
        self,
        width: int,
        *,
        num_heads: int,
        qk_norm: QKNorm,
        differential: bool,
        feature_scale: bool,
        zero_init: bool,
        window: Window,
    ) -> None:
        """Create the projections.

        Args:
            width: Features of a token.
            num_heads: Attention heads.
            qk_norm: Normalisation of queries and keys.
            differential: Subtract a second attention.
            feature_scale: Learn to weigh the mean over the sequence against what differs from it.
            zero_init: Start the output projection at zero, so that a fresh layer passes its input
                on.
            window: How far a token sees.

        Raises:
            ValueError: `num_heads` does not divide `width`.
        """
        super().__init__(
            width,
            num_heads=num_heads,
            qk_norm=qk_norm,
            differential=differential,
            feature_scale=feature_scale,
            zero_init=zero_init,
        )
        self.window = window
        self.to_qkv = nn.Linear(width, (2 * self.num_maps + 1) * width, bias=False)

    def forward(
        self,
        x: Float[Tensor, "b l e"],
        *,
        rotation: Rotation | None,
        mask: Bool[Tensor, "b l"] | None = None,
        cache: AttentionCache | None = None,
    ) -> Float[Tensor, "b l e"]:
        """Let each token gather from those that it sees.

        Args:
            x: The tokens.
            rotation: Turns queries and keys by their positions.
            mask: True for the tokens that are no padding.
            cache: The tokens before these, which they see too; these are added to it.
        """
        parts = self._heads(self.to_qkv(x), 2 * self.num_maps + 1)
        # Queries, keys and values, then the second map's queries and keys.
        queries = self._normalize(parts[0::3], self.q_norm, rotation=rotation)
        keys, values = self._normalize(parts[1::3], self.k_norm, rotation=rotation), parts[2]
        if cache is not None:
            keys, values = cache.extend(keys, values)
        gathered = self._gather(queries, keys, values, window=self.window, key_mask=mask)
        return self._weigh(gathered, mask)


class CrossAttention(_Attention):
    """Multi-head attention of a sequence to a context, with the options of `SelfAttention`.

    A context may be narrower than the tokens. It then has fewer heads, each of which serves several
    neighbouring heads of the tokens (grouped queries, Ainslie et al. 2023, 2305.13245).
    """

    def __init__(
        self,
        width: int,
        *,
        context_width: int,
        num_heads: int,
        qk_norm: QKNorm,
        differential: bool,
        feature_scale: bool,
        zero_init: bool,
    ) -> None:
        """Create the projections.

        Args:
            width: Features of a token.
            context_width: Features of a token of the context.
            num_heads: Attention heads of the tokens.
            qk_norm: Normalisation of queries and keys.
            differential: Subtract a second attention.
            feature_scale: Learn to weigh the mean over the sequence against what differs from it.
            zero_init: Start the output projection at zero, so that a fresh layer passes its input
                on.

        Raises:
            ValueError: `num_heads` does not divide `width`, the context is no whole number of heads
                wide, or its heads do not divide those of the tokens.
        """
        super().__init__(
            width,
            num_heads=num_heads,
            qk_norm=qk_norm,
            differential=differential,
            feature_scale=feature_scale,
            zero_init=zero_init,
        )
        context_heads, rest = divmod(context_width, self.head_width)
        if rest or context_heads == 0 or num_heads % context_heads:
            raise ValueError(
                f"a context of {context_width} features cannot be shared by {num_heads} heads of"
                f" {self.head_width}"
            )
        self.group = num_heads // context_heads
        self.to_q = nn.Linear(width, self.num_maps * width, bias=False)
        self.to_kv = nn.Linear(context_width, (self.num_maps + 1) * context_width, bias=False)

    def forward(
        self,
        x: Float[Tensor, "b l e"],
        *,
        context: Float[Tensor, "b k f"],
        mask: Bool[Tensor, "b l"] | None = None,
        context_mask: Bool[Tensor, "b k"] | None = None,
        cache: AttentionCache | None = None,
    ) -> Float[Tensor, "b l e"]:
        """Let each token gather from the whole context.

        Args:
            x: The tokens.
            context: The tokens that they attend to.
            mask: True for the tokens that are no padding.
            context_mask: True for the tokens of the context that are no padding.
            cache: Keeps what is made of the context; it is looked at once.
        """
        queries = self._normalize(
            self._heads(self.to_q(x), self.num_maps), self.q_norm, rotation=None
        )
        source = cache.context if cache is not None else None
        if source is None:
            source = self._source(context)
        if cache is not None:
            cache.context = source
        gathered = self._gather(
            queries, source[:-1], source[-1], window=EVERYWHERE, key_mask=context_mask
        )
        return self._weigh(gathered, mask)

    def _source(self, context: Tensor) -> Tensor:
        """Keys, then values, each for all heads of the tokens."""
        heads = self._heads(self.to_kv(context), self.num_maps + 1)
        keys = self._normalize(heads[:-1], self.k_norm, rotation=None)
        source = torch.cat((keys, heads[-1:]))
        return source.repeat_interleave(self.group, dim=2) if self.group > 1 else source


class _UnitLength(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(x, dim=-1)


def _make_qk_norm(kind: QKNorm, width: int) -> nn.Module:
    if kind == "l2":
        return _UnitLength()
    if kind == "ln":
        return nn.LayerNorm(width, eps=QK_EPSILON)
    if kind == "dyt":
        return DynamicTanh(width)
    return nn.Identity()
