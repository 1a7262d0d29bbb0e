"""An encoder of transformers with windowed attention."""

import math
from collections.abc import Sequence

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sat_config.audio.encoder import LocalAttnEncoderNode
from sat_models.encoders.base import Encoder, build_encoder
from sat_models.layers.local_attention import LocalTransformer, local_transformers, local_window
from sat_models.layers.window import Window


class LocalAttnEncoder(Encoder):
    """Per stage, transformer layers and a linear map that merges neighbouring frames.

    Deviations from SAT: it builds this encoder with empty stages only (see `LocalTransformer`). A
    signal that is no multiple of the hop length is filled up with zeros, where SAT fails.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        widths: Sequence[int],
        heads: Sequence[int],
        depths: Sequence[int],
        strides: Sequence[int],
        latent_dim: int,
        hidden_factor: int,
        window: Window,
    ) -> None:
        """Create the layers.

        Args:
            in_channels: Channels of the signal.
            widths: Width of each stage.
            heads: Attention heads of each stage.
            depths: Transformer layers of each stage.
            strides: Frames that each stage merges into one.
            latent_dim: Channels that go out.
            hidden_factor: Width of the feed-forward networks, relative to that of the stage.
            window: How far a frame sees.

        Raises:
            ValueError: The heads of a stage do not divide its width.
        """
        super().__init__()
        self.in_channels, self.latent_dim = in_channels, latent_dim
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
        self.project_in = nn.Linear(in_channels, widths[0], bias=False)
        self.project_out = nn.Linear(widths[-1], latent_dim, bias=False)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b d l"]:
        """Encode a signal."""
        whole = functional.pad(x, (0, -x.shape[-1] % self.hop_length))
        encoded: Tensor = self.project_out(self.layers(self.project_in(whole.mT)))
        return encoded.mT


class _Stage(nn.Module):
    def __init__(
        self, in_width: int, width: int, *, stride: int, transformer: LocalTransformer
    ) -> None:
        super().__init__()
        self.stride = stride
        self.transformer = transformer
        same = in_width == width
        self.project_in = nn.Identity() if same else nn.Linear(in_width, width, bias=False)
        self.project_down = nn.Linear(width * stride, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        frames = self.transformer(self.project_in(x))
        merged = rearrange(frames, "b (l r) e -> b l (e r)", r=self.stride)
        result: Tensor = self.project_down(merged)
        return result


@build_encoder.register
def _(node: LocalAttnEncoderNode) -> LocalAttnEncoder:
    config = node.config
    return LocalAttnEncoder(
        config.in_channels,
        widths=config.per_stage("embed_dims"),
        heads=config.per_stage("heads"),
        depths=config.depths,
        strides=config.per_stage("ratios"),
        latent_dim=config.out_channels,
        hidden_factor=config.ff_mult,
        window=local_window(config.local_attn_window_size, causal=config.causal),
    )
