"""The decoder of EnCodec (Défossez et al. 2022, 2210.13438), a SEANet (2009.02095)."""

import math
from collections.abc import Sequence
from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.decoder import SEANetDecoderNode
from sat_config.audio.seanet import ActivationParams
from sat_models.decoders.base import Decoder, build_decoder
from sat_models.encoders.seanet import seanet_activation, seanet_style
from sat_models.layers.seanet import SEANetConv, SEANetConvTranspose, SEANetLSTM, SEANetStyle


class SEANetDecoder(Decoder):
    """An LSTM; then per stage a transposed convolution that lengthens, and residual blocks."""

    def __init__(
        self,
        latent_dim: int,
        *,
        width: int,
        strides: Sequence[int],
        out_channels: int,
        kernel_size: int,
        last_kernel_size: int,
        lstm_layers: int,
        final_activation: nn.Module | None,
        style: SEANetStyle,
    ) -> None:
        """Create the layers.

        Args:
            latent_dim: Channels of the latents.
            width: Channels after the last stage; each stage halves them.
            strides: Factor by which each stage lengthens, the one next to the latents first.
            out_channels: Channels of the signal.
            kernel_size: Width of the first convolution.
            last_kernel_size: Width of the last convolution.
            lstm_layers: Layers of the LSTM; 0 leaves it out.
            final_activation: What the signal passes at the very end.
            style: What all parts have in common.
        """
        super().__init__()
        self.latent_dim, self.out_channels = latent_dim, out_channels
        self.hop_length = math.prod(strides)
        conv = partial(SEANetConv, stride=1, dilation=1, style=style)
        inner = width * 2 ** len(strides)
        layers: list[nn.Module] = [conv(latent_dim, inner, kernel_size=kernel_size)]
        if lstm_layers:
            layers.append(SEANetLSTM(inner, num_layers=lstm_layers))
        for stride in strides:
            layers += [
                style.make_activation(),
                SEANetConvTranspose(inner, inner // 2, stride=stride, style=style),
                *style.residual_blocks(inner // 2),
            ]
            inner //= 2
        layers += [style.make_activation(), conv(inner, out_channels, kernel_size=last_kernel_size)]
        if final_activation is not None:
            layers.append(final_activation)
        self.model = nn.Sequential(*layers)

    def forward(self, latents: Float[Tensor, "b d l"]) -> Float[Tensor, "b c t"]:
        """Decode latents."""
        signal: Tensor = self.model(latents)
        return signal


@build_decoder.register
def _(node: SEANetDecoderNode) -> SEANetDecoder:
    config = node.config
    final = None
    if config.final_activation is not None:
        params = config.final_activation_params or ActivationParams()
        final = seanet_activation(config.final_activation, params)()
    return SEANetDecoder(
        config.dimension,
        width=config.n_filters,
        strides=config.ratios,
        out_channels=config.channels,
        kernel_size=config.kernel_size,
        last_kernel_size=config.last_kernel_size,
        lstm_layers=config.lstm,
        final_activation=final,
        style=seanet_style(config, trim_right_ratio=config.trim_right_ratio),
    )
