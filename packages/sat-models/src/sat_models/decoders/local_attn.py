"""A decoder of transformers with windowed attention."""

import math
from collections.abc import Sequence

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.decoder import LocalAttnDecoderNode
from sat_models.decoders.base import Decoder, build_decoder
from sat_models.layers.local_attention import LocalTransformer, local_transformers, local_window
from sat_models.layers.window import Window


class LocalAttnDecoder(Decoder):
    """Per stage, a linear map that splits each frame, and transformer layers.

    Deviation from SAT: it builds this decoder with empty stages only (see `LocalTransformer`).
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        widths: Sequence[int],
        heads: Sequence[int],
        depths: Sequence[int],
        strides: Sequence[int],
        out_channels: int,
        hidden_factor: int,
        window: Window,
    ) -> None:
        """Create the layers.

        Args:
            latent_dim: Channels of the latents.
            widths: Width of each stage.
            heads: Attention heads of each stage.
            depths: Transformer layers of each stage.
            strides: Frames that each stage makes of one.
            out_channels: Channels of the signal.
            hidden_factor: Width of the feed-forward networks, relative to that of the stage.
            window: How far a frame sees.

        Raises:
            ValueError: The heads of a stage do not divide its width.
        """
        super().__init__()
        self.latent_dim, self.out_channels = latent_dim, out_channels
        self.hop_length = math.prod(strides)
        transformers = local_transformers(
            widths, heads, depths, hidden_factor=hidden_factor, window=window
        )
        incoming = (widths[0], *widths[:-1])
        self.layers = nn.Sequential(
            *(
                _Stage(before, width, stride=stride, transformer=transformer)
                for before, width, stride, transformer in zip(
                    incoming, widths, strides, transformers, strict=True
                )
            )
        )
        self.project_in = nn.Linear(latent_dim, widths[0], bias=False)
        self.project_out = nn.Linear(widths[-1], out_channels, bias=False)

    def forward(self, latents: Float[Tensor, "b d l"]) -> Float[Tensor, "b c t"]:
        """Decode latents."""
        signal: Tensor = self.project_out(self.layers(self.project_in(latents.mT)))
        return signal.mT


class _Stage(nn.Module):
    def __init__(
        self, in_width: int, width: int, *, stride: int, transformer: LocalTransformer
    ) -> None:
        super().__init__()
        self.stride = stride
        same = in_width == width
        self.project_in = nn.Identity() if same else nn.Linear(in_width, width, bias=False)
        self.project_up = nn.Linear(width, width * stride, bias=False)
        self.transformer = transformer

    def forward(self, x: Tensor) -> Tensor:
        wide = self.project_up(self.project_in(x))
        frames = rearrange(wide, "b l (e r) -> b (l r) e", r=self.stride)
        result: Tensor = self.transformer(frames)
        return result


@build_decoder.register
def _(node: LocalAttnDecoderNode) -> LocalAttnDecoder:
    config = node.config
    return LocalAttnDecoder(
        config.in_channels,
        widths=config.per_stage("embed_dims"),
        heads=config.per_stage("heads"),
        depths=config.depths,
        strides=config.per_stage("ratios"),
        out_channels=config.out_channels,
        hidden_factor=config.ff_mult,
        window=local_window(config.local_attn_window_size, causal=config.causal),
    )
