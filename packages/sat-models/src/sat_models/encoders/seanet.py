"""The encoder of EnCodec (Défossez et al. 2022, 2210.13438), a SEANet (2009.02095)."""

import math
from collections.abc import Sequence
from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.encoder import SEANetEncoderNode
from sat_config.audio.seanet import ACTIVATION_KEYS, Activation, ActivationParams, SEANetConfig
from sat_models.encoders.base import Encoder, build_encoder
from sat_models.layers.seanet import SEANetConv, SEANetLSTM, SEANetStyle


class SEANetEncoder(Encoder):
    """Per stage, residual blocks and a convolution that shortens the signal; at the end an LSTM.

    Deviation from SAT: strides are in the order of the stages; SAT turns its list around at every
    second model that it builds from one configuration.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        width: int,
        strides: Sequence[int],
        latent_dim: int,
        kernel_size: int,
        last_kernel_size: int,
        lstm_layers: int,
        style: SEANetStyle,
    ) -> None:
        """Create the layers.

        Args:
            in_channels: Channels of the signal.
            width: Channels before the first stage; each stage doubles them.
            strides: Factor by which each stage shortens, rounding up.
            latent_dim: Channels that go out.
            kernel_size: Width of the first convolution.
            last_kernel_size: Width of the last convolution.
            lstm_layers: Layers of the LSTM; 0 leaves it out.
            style: What all parts have in common.
        """
        super().__init__()
        self.in_channels, self.latent_dim = in_channels, latent_dim
        self.hop_length = math.prod(strides)
        conv = partial(SEANetConv, dilation=1, style=style)
        layers: list[nn.Module] = [conv(in_channels, width, kernel_size=kernel_size, stride=1)]
        for stride in strides:
            layers += [
                *style.residual_blocks(width),
                style.make_activation(),
                conv(width, 2 * width, kernel_size=2 * stride, stride=stride),
            ]
            width *= 2
        if lstm_layers:
            layers.append(SEANetLSTM(width, num_layers=lstm_layers))
        layers += [
            style.make_activation(),
            conv(width, latent_dim, kernel_size=last_kernel_size, stride=1),
        ]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b d l"]:
        """Encode a signal."""
        encoded: Tensor = self.model(x)
        return encoded


def seanet_activation(name: Activation, params: ActivationParams) -> partial[nn.Module]:
    """What makes an activation, with those of its parameters that are given."""
    given = ((key, getattr(params, key)) for key in ACTIVATION_KEYS.get(name, ()))
    return partial(getattr(nn, name), **{key: value for key, value in given if value is not None})


def seanet_style(config: SEANetConfig, *, trim_right_ratio: float) -> SEANetStyle:
    """What an encoder's or decoder's configuration says about all its parts."""
    norm = config.norm_params
    return SEANetStyle(
        norm=config.norm,
        norm_epsilon=norm.eps or 1e-5,
        norm_affine=False not in (norm.affine, norm.elementwise_affine),
        causal=config.causal,
        trim_right_ratio=trim_right_ratio,
        pad_mode=config.pad_mode,
        make_activation=seanet_activation(config.activation, config.activation_params),
        num_residual=config.n_residual_layers,
        residual_kernel_size=config.residual_kernel_size,
        dilation_base=config.dilation_base,
        compress=config.compress,
        true_skip=config.true_skip,
    )


@build_encoder.register
def _(node: SEANetEncoderNode) -> SEANetEncoder:
    config = node.config
    return SEANetEncoder(
        config.channels,
        width=config.n_filters,
        strides=config.ratios,
        latent_dim=config.dimension,
        kernel_size=config.kernel_size,
        last_kernel_size=config.last_kernel_size,
        lstm_layers=config.lstm,
        style=seanet_style(config, trim_right_ratio=1),
    )
