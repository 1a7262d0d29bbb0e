"""What SEANet encoders and decoders share (Tagliasacchi et al. 2020; Défossez et al. 2022)."""

from __future__ import annotations

from typing import ClassVar, Literal

from sat_config.node import Node, NonNegative, NonNegativeFloat, Positive, PositiveFloat

Activation = Literal[
    "ELU",
    "CELU",
    "GELU",
    "Identity",
    "LeakyReLU",
    "Mish",
    "PReLU",
    "ReLU",
    "SELU",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
]

Norm = Literal[
    "none", "weight_norm", "spectral_norm", "time_layer_norm", "layer_norm", "time_group_norm"
]

ACTIVATION_KEYS: dict[str, tuple[str, ...]] = {
    "ELU": ("alpha",),
    "CELU": ("alpha",),
    "GELU": ("approximate",),
    "LeakyReLU": ("negative_slope",),
    "PReLU": ("init",),
    "Softplus": ("beta", "threshold"),
}
"""The parameters that an activation takes; those that are not listed take none."""

NORM_KEYS: dict[str, tuple[str, ...]] = {
    "layer_norm": ("eps", "elementwise_affine"),
    "time_group_norm": ("eps", "affine"),
}
"""The parameters that a normalisation takes; those that are not listed take none."""


class ActivationParams(Node, kw_only=True):
    """Parameters of an activation; each takes only its own.

    Attributes:
        alpha: Of ELU and CELU: the negative limit.
        negative_slope: Of LeakyReLU: the slope below zero.
        init: Of PReLU: the slope below zero at the start of training.
        beta: Of Softplus: sharpness of the bend.
        threshold: Of Softplus: where it goes over into the identity.
        approximate: Of GELU: exact, or by tanh.
    """

    training_keys: ClassVar[tuple[str, ...]] = ("init",)

    alpha: PositiveFloat | None = None
    negative_slope: NonNegativeFloat | None = None
    init: float | None = None
    beta: PositiveFloat | None = None
    threshold: PositiveFloat | None = None
    approximate: Literal["none", "tanh"] | None = None


class NormParams(Node, kw_only=True):
    """Parameters of a normalisation module; each takes only its own.

    Attributes:
        eps: Of layer_norm and time_group_norm: added to the variance.
        elementwise_affine: Of layer_norm: learn a gain and an offset.
        affine: Of time_group_norm: learn a gain and an offset.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("elementwise_affine", "affine")

    eps: PositiveFloat | None = None
    elementwise_affine: bool | None = None
    affine: bool | None = None


class SEANetConfig(Node, kw_only=True):
    """Half of EnCodec's autoencoder: convolutions, residual blocks and an LSTM.

    Attributes:
        channels: Channels of the signal.
        dimension: Channels on the side of the latents; for an encoder twice the latent width
            before a VAE bottleneck.
        n_filters: Width next to the signal; it doubles with every stage towards the latents.
        n_residual_layers: Residual blocks per stage.
        activation: Class of the activations, by its name in torch.nn.
        activation_params: Their parameters.
        norm: Normalisation of the convolutions; time_layer_norm does what none does.
        norm_params: Parameters of layer_norm and time_group_norm.
        kernel_size: Width of the first convolution.
        last_kernel_size: Width of the last convolution.
        residual_kernel_size: Width of the convolutions in residual blocks.
        dilation_base: Residual block j of a stage is dilated by the j-th power of this.
        compress: Residual blocks narrow their inner convolutions by this factor.
        lstm: Layers of the LSTM next to the latents; 0 leaves it out.
        causal: Let convolutions see the past only.
        pad_mode: What convolutions find beyond the ends.
        true_skip: Join residual blocks by the identity in place of a 1x1 convolution.
    """

    weight_keys: ClassVar[tuple[str, ...]] = (
        "channels",
        "dimension",
        "n_filters",
        "n_residual_layers",
        "activation",
        "norm",
        "kernel_size",
        "last_kernel_size",
        "residual_kernel_size",
        "compress",
        "lstm",
        "true_skip",
    )

    channels: Positive = 1
    dimension: Positive = 128
    n_filters: Positive = 32
    n_residual_layers: NonNegative = 1
    activation: Activation = "ELU"
    activation_params: ActivationParams = ActivationParams(alpha=1.0)
    norm: Norm = "weight_norm"
    norm_params: NormParams = NormParams()
    kernel_size: Positive = 7
    last_kernel_size: Positive = 7
    residual_kernel_size: Positive = 3
    dilation_base: Positive = 2
    compress: Positive = 2
    lstm: NonNegative = 2
    causal: bool = False
    pad_mode: Literal["reflect", "constant", "replicate", "circular"] = "reflect"
    true_skip: bool = False
