"""Attention between tokens."""

from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sat_models.layers.norm import DynamicTanh
from sat_models.layers.rotary import Rotation
from sat_models.layers.window import EVERYWHERE, Window, attend

QKNorm = Literal["none", "l2", "ln", "dyt"]
"""Normalisation of queries and keys: none, to unit length, layer norm, dynamic tanh."""

QK_EPSILON = 1e-6


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

    def _gather(
        self,
        queries: Float[Tensor, "n b h l d"],
        keys: Float[Tensor, "n b h k d"],
        values: Float[Tensor, "b h k d"],
        *,
        rotation: Rotation | None,
        window: Window,
    ) -> Float[Tensor, "b l e"]:
        """Attend with each of `n` pairs of queries and keys, and bring the heads together."""
        queries = self.q_norm(queries).to(values.dtype)  # under autocast norms give float32
        keys = self.k_norm(keys).to(values.dtype)
        if rotation is not None:
            queries, keys = rotation.apply(queries), rotation.apply(keys)
        gathered = attend(queries[0], keys[0], values, window=window)  # b h l d
        if self.num_maps == 2:
            gathered = gathered - attend(queries[1], keys[1], values, window=window)
        result: Tensor = self.to_out(rearrange(gathered, "b h l d -> b l (h d)"))
        return self._weigh(result) if self.feature_scale else result

    def _weigh(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=1, keepdim=True)
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
        self, x: Float[Tensor, "b l e"], *, rotation: Rotation | None
    ) -> Float[Tensor, "b l e"]:
        """Let each token gather from those that it sees.

        Args:
            x: The tokens.
            rotation: Turns queries and keys by their positions.
        """
        parts = self._heads(self.to_qkv(x), 2 * self.num_maps + 1)
        # Queries, keys and values, then the second map's queries and keys.
        return self._gather(
            parts[0::3], parts[1::3], parts[2], rotation=rotation, window=self.window
        )


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
        self, x: Float[Tensor, "b l e"], *, context: Float[Tensor, "b k f"]
    ) -> Float[Tensor, "b l e"]:
        """Let each token gather from the whole context.

        Args:
            x: The tokens.
            context: The tokens that they attend to.
        """
        queries = self._heads(self.to_q(x), self.num_maps)
        source = self._heads(self.to_kv(context), self.num_maps + 1)  # keys, then values
        if self.group > 1:
            source = source.repeat_interleave(self.group, dim=2)
        return self._gather(queries, source[:-1], source[-1], rotation=None, window=EVERYWHERE)


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
