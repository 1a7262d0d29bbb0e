"""Bottlenecks: what latents must pass between encoder and decoder."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from sat_config.node import (
    Node,
    NonNegative,
    NonNegativeFloat,
    Positive,
    PositiveFloat,
    Probability,
)
from sat_config.registry import family, member

Levels = Annotated[int, Meta(ge=2)]
TokenLayout = Literal["b q l", "b l q"]


@family("bottleneck")
class BottleneckNode(Node, kw_only=True, tag_field="type"):
    """A bottleneck of an autoencoder.

    Attributes:
        requires_grad: Whether its weights, if it has any, are trained.
    """

    training_keys: ClassVar[tuple[str, ...]] = ("requires_grad",)

    losses: ClassVar[tuple[str, ...]] = ()
    """Names of the losses that it reports in training."""

    token_layout: ClassVar[TokenLayout | None] = None
    """Axes of the codes in stable-audio-tools (batch, quantizers, frames), if there are codes."""

    dim_key: ClassVar[str] = "dim"
    """The key of `config` that sets `dim`, if it has one."""

    requires_grad: bool = True

    @property
    def encoder_channels_per_latent(self) -> int:
        """Encoder channels that one latent channel is made of."""
        return 1

    @property
    def extra_decoder_channels(self) -> int:
        """Channels of noise that the decoder gets besides the latents."""
        return 0

    @property
    def dim(self) -> int | None:
        """Channels of the latents that it is made for; None if it takes any number."""
        return None

    @property
    def is_discrete(self) -> bool:
        """Whether latents can be written as integer codes."""
        return self.token_layout is not None

    @property
    def num_quantizers(self) -> int | None:
        """Codes per frame, if there are codes."""
        return None

    @property
    def codebook_size(self) -> int | None:
        """Different values of a code, if there are codes."""
        return None


# ------------------------------------------------------------------------------------- continuous


class TanhConfig(Node, kw_only=True):
    """A soft limit.

    Attributes:
        scale: The limit; values far below it pass unchanged.
    """

    scale: PositiveFloat = 1.0


@member
class TanhNode(BottleneckNode, kw_only=True, tag="tanh"):
    """Latents softly limited: scale * tanh(x / scale).

    Attributes:
        config: The limit.
    """

    config: TanhConfig = TanhConfig()


class VAEConfig(Node, kw_only=True):
    """The Gaussian bottleneck has nothing to set."""


@member
class VAENode(BottleneckNode, kw_only=True, tag="vae"):
    """Gaussian latents: half of the encoder's channels are means, half are scales.

    Attributes:
        config: Empty; accepted because SAT's files may have it.
    """

    losses: ClassVar[tuple[str, ...]] = ("kl",)

    config: VAEConfig = VAEConfig()

    @property
    def encoder_channels_per_latent(self) -> int:
        """Two: a mean and a scale."""
        return 2


class L2NormConfig(Node, kw_only=True):
    """The normalising bottleneck has nothing to set."""


@member
class L2NormNode(BottleneckNode, kw_only=True, tag="l2_norm"):
    """Latents of length one over their channels, before and after whatever is done with them.

    Attributes:
        config: Empty; accepted because SAT's files may have it.
    """

    config: L2NormConfig = L2NormConfig()


class WassersteinConfig(Node, kw_only=True):
    """A penalty that draws latents to a Gaussian.

    Attributes:
        noise_augment_dim: Channels of Gaussian noise that are added before the decoder.
        bypass_mmd: Report a penalty of 0 instead of computing it.
        use_tanh: Limit latents softly, after the penalty.
        tanh_scale: That limit.
    """

    training_keys: ClassVar[tuple[str, ...]] = ("bypass_mmd",)
    latent_keys: ClassVar[tuple[str, ...] | None] = ("use_tanh", "tanh_scale")

    noise_augment_dim: NonNegative = 0
    bypass_mmd: bool = False
    use_tanh: bool = False
    tanh_scale: PositiveFloat = 5.0


@member
class WassersteinNode(BottleneckNode, kw_only=True, tag="wasserstein"):
    """Latents as they are, with a penalty on their distribution (Tolstikhin et al. 2018).

    Attributes:
        config: Penalty, noise and limit.
    """

    losses: ClassVar[tuple[str, ...]] = ("mmd",)

    config: WassersteinConfig = WassersteinConfig()

    @property
    def extra_decoder_channels(self) -> int:
        """The channels of noise."""
        return self.config.noise_augment_dim


class SoftNormConfig(Node, kw_only=True):
    """Learned scaling and offset of each channel.

    Attributes:
        dim: Channels of the latents.
        noise_augment_dim: Channels of noise, with learned scales, that are added before the
            decoder.
        noise_regularize: Add a little noise to latents before the decoder, in training.
        auto_scale: Keep a running standard deviation of the latents and divide by it.
        freeze: Do not train scaling and offset.
    """

    weight_keys: ClassVar[tuple[str, ...]] = ("dim", "noise_augment_dim", "auto_scale")
    training_keys: ClassVar[tuple[str, ...]] = ("noise_regularize", "freeze")
    latent_keys: ClassVar[tuple[str, ...] | None] = ("dim", "auto_scale")

    dim: Positive = 32
    noise_augment_dim: NonNegative = 0
    noise_regularize: bool = False
    auto_scale: bool = False
    freeze: bool = False


@member
class SoftNormNode(BottleneckNode, kw_only=True, tag="softnorm"):
    """Latents that a loss draws to zero mean and unit variance; SAT builds it from 0.0.20 on.

    Attributes:
        config: Width and noise.
    """

    losses: ClassVar[tuple[str, ...]] = ("softnorm",)

    config: SoftNormConfig

    @property
    def dim(self) -> int:
        """The channels that it scales."""
        return self.config.dim

    @property
    def extra_decoder_channels(self) -> int:
        """The channels of noise."""
        return self.config.noise_augment_dim


# ------------------------------------------------------------------- residual vector quantization


_OUTSIDE = "the projection stands outside of the quantizers that would normalise, in SAT too"


class RVQConfig(Node, kw_only=True):
    """Residual vector quantization with codebooks that follow the data.

    Attributes:
        dim: Channels of the latents.
        codebook_size: Entries per codebook.
        num_quantizers: Codebooks, each for what the ones before it left over.
        decay: Share of a codebook's average that is kept at each step; higher follows slower.
        kmeans_init: Start the codebooks from clusters of the first batch.
        kmeans_iters: Iterations of that clustering.
        threshold_ema_dead_code: Entries used less than this are replaced; 0 replaces none.
        codebook_dim: Channels within the codebooks; anything but `dim` adds a projection.
        shared_codebook: Use one codebook for all quantizers.
        heads: One; the codes of several heads are not supported.
        quantize_dropout: Leave out a random number of the last quantizers, in training.
        quantize_dropout_cutoff_index: The first quantizer that may be left out.
        quantize_dropout_multiple_of: Leave out quantizers in groups of this size.
        accept_image_fmap: Latents are no images.
        separate_codebook_per_head: A key of SAT's files.
        eps: Added to the counts of entries before they divide.
        freeze_codebook: Leave the codebooks as they are.
        sync_kmeans: Cluster over all processes.
        use_cosine_sim: Compare directions in place of distances.
        layernorm_after_project_in: A key of SAT's files.
        channel_last: The library's own layout.
        commitment_weight: Weight of the distance between latents and their entries.
        commitment_use_cross_entropy_loss: Take cross entropy in place of that distance.
        orthogonal_reg_weight: Weight of a penalty on codebooks that are not orthogonal.
        orthogonal_reg_active_codes_only: Apply that penalty to entries in use only.
        orthogonal_reg_max_codes: Entries that the penalty looks at; all if left out.
        codebook_diversity_loss_weight: Weight of a penalty on uneven use of entries.
        codebook_diversity_temperature: Sharpness of what that penalty takes as use.
        stochastic_sample_codes: Draw entries by distance in place of taking the nearest.
        sample_codebook_temp: Temperature of that draw; higher is more random.
        straight_through: Let gradients flow through that draw.
        distributed_replace_codes: Replace unused entries from the batches of all processes.
        reinmax: Use the ReinMax gradient for that draw; needs `straight_through`.
        sync_codebook: Average codebooks over processes; by default where there are several.
        sync_affine_param: Average the statistics of `affine_param` over processes.
        ema_update: Let codebooks follow the data; else they stand still or are learned.
        learnable_codebook: Train codebooks by gradient; needs `ema_update` off.
        affine_param: Shift and scale codebooks to the statistics of the latents.
        affine_param_batch_decay: Share of the latents' statistics that is kept at each step.
        affine_param_codebook_decay: Share of the codebooks' statistics that is kept.
        sync_update_v: Strength of synchronised codebook updates; needs `learnable_codebook`.
    """

    weight_keys: ClassVar[tuple[str, ...]] = (
        "dim",
        "codebook_size",
        "num_quantizers",
        "codebook_dim",
        "affine_param",
    )
    training_keys: ClassVar[tuple[str, ...]] = (
        "decay",
        "kmeans_init",
        "kmeans_iters",
        "threshold_ema_dead_code",
        "quantize_dropout",
        "quantize_dropout_cutoff_index",
        "quantize_dropout_multiple_of",
        "eps",
        "freeze_codebook",
        "sync_kmeans",
        "commitment_weight",
        "commitment_use_cross_entropy_loss",
        "orthogonal_reg_weight",
        "orthogonal_reg_active_codes_only",
        "orthogonal_reg_max_codes",
        "codebook_diversity_loss_weight",
        "codebook_diversity_temperature",
        "stochastic_sample_codes",
        "sample_codebook_temp",
        "straight_through",
        "distributed_replace_codes",
        "reinmax",
        "sync_codebook",
        "sync_affine_param",
        "ema_update",
        "learnable_codebook",
        "affine_param_batch_decay",
        "affine_param_codebook_decay",
        "sync_update_v",
    )

    dim: Positive = 128
    codebook_size: Positive = 1024
    num_quantizers: Positive = 8
    decay: Probability = 0.99
    kmeans_init: bool = True
    kmeans_iters: Positive = 50
    threshold_ema_dead_code: NonNegative = 2
    codebook_dim: Positive | None = None
    shared_codebook: bool = False
    heads: Literal[1] = 1
    quantize_dropout: bool = False
    quantize_dropout_cutoff_index: NonNegative = 0
    quantize_dropout_multiple_of: Positive = 1
    accept_image_fmap: Literal[False] = False
    separate_codebook_per_head: Annotated[bool, Meta(extra={"inert": "there is one head"})] = False
    eps: PositiveFloat = 1e-5
    freeze_codebook: bool = False
    sync_kmeans: bool = True
    use_cosine_sim: bool = False
    layernorm_after_project_in: Annotated[bool, Meta(extra={"inert": _OUTSIDE})] = False
    channel_last: Literal[True] = True
    commitment_weight: NonNegativeFloat = 1.0
    commitment_use_cross_entropy_loss: bool = False
    orthogonal_reg_weight: NonNegativeFloat = 0.0
    orthogonal_reg_active_codes_only: bool = False
    orthogonal_reg_max_codes: Positive | None = None
    codebook_diversity_loss_weight: NonNegativeFloat = 0.0
    codebook_diversity_temperature: PositiveFloat = 100.0
    stochastic_sample_codes: bool = False
    sample_codebook_temp: NonNegativeFloat = 1.0
    straight_through: bool = False
    distributed_replace_codes: bool = True
    reinmax: bool = False
    sync_codebook: bool | None = None
    sync_affine_param: bool = False
    ema_update: bool = True
    learnable_codebook: bool = False
    affine_param: bool = False
    affine_param_batch_decay: Probability = 0.99
    affine_param_codebook_decay: Probability = 0.9
    sync_update_v: Probability = 0.0


@member
class RVQNode(BottleneckNode, kw_only=True, tag="rvq"):
    """Latents as sums of codebook entries (SoundStream; Zeghidour et al. 2021, arXiv 2107.03312).

    Attributes:
        config: The codebooks.
    """

    losses: ClassVar[tuple[str, ...]] = ("quantizer_loss",)
    token_layout: ClassVar[TokenLayout | None] = "b l q"

    config: RVQConfig

    @property
    def dim(self) -> int:
        """The channels that are quantized."""
        return self.config.dim

    @property
    def num_quantizers(self) -> int:
        """Codes per frame."""
        return self.config.num_quantizers

    @property
    def codebook_size(self) -> int:
        """Different values of a code."""
        return self.config.codebook_size


@member
class RVQVAENode(BottleneckNode, kw_only=True, tag="rvq_vae"):
    """Gaussian latents, as of `vae`, quantized as by `rvq`.

    Attributes:
        config: The codebooks.
    """

    losses: ClassVar[tuple[str, ...]] = ("kl", "quantizer_loss")
    token_layout: ClassVar[TokenLayout | None] = "b l q"

    config: RVQConfig

    @property
    def encoder_channels_per_latent(self) -> int:
        """Two: a mean and a scale."""
        return 2

    @property
    def dim(self) -> int:
        """The channels that are quantized."""
        return self.config.dim

    @property
    def num_quantizers(self) -> int:
        """Codes per frame."""
        return self.config.num_quantizers

    @property
    def codebook_size(self) -> int:
        """Different values of a code."""
        return self.config.codebook_size


class DACRVQVAEConfig(Node, kw_only=True):
    """Residual vector quantization with learned codebooks of few channels.

    Attributes:
        n_codebooks: Codebooks, each for what the ones before it left over.
        codebook_size: Entries per codebook.
        input_dim: Channels of the latents.
        codebook_dim: Channels within the codebooks, for all or for each.
        quantizer_dropout: Share of each batch that is quantized by a random number of codebooks,
            in training; higher makes the first codebooks better by themselves.
        quantize_on_decode: Hand out latents before quantization, which then happens when they are
            decoded.
    """

    weight_keys: ClassVar[tuple[str, ...]] = (
        "n_codebooks",
        "codebook_size",
        "input_dim",
        "codebook_dim",
    )
    training_keys: ClassVar[tuple[str, ...]] = ("quantizer_dropout",)
    latent_keys: ClassVar[tuple[str, ...] | None] = (
        "n_codebooks",
        "codebook_size",
        "input_dim",
        "codebook_dim",
        "quantize_on_decode",
    )

    n_codebooks: Positive
    codebook_size: Positive
    input_dim: Positive = 512
    codebook_dim: Positive | Annotated[tuple[Positive, ...], Meta(min_length=1)] = 8
    quantizer_dropout: Probability = 0.0
    quantize_on_decode: bool = False


class DACRVQConfig(DACRVQVAEConfig, kw_only=True):
    """The same, with noise for the decoder.

    Attributes:
        noise_augment_dim: Channels of Gaussian noise that are added before the decoder.
    """

    noise_augment_dim: NonNegative = 0


@member
class DACRVQNode(BottleneckNode, kw_only=True, tag="dac_rvq"):
    """The quantizer of the Descript audio codec (Kumar et al. 2023, arXiv 2306.06546).

    Attributes:
        config: The codebooks.
    """

    losses: ClassVar[tuple[str, ...]] = ("codebook_loss", "commitment_loss")
    token_layout: ClassVar[TokenLayout | None] = "b q l"
    dim_key: ClassVar[str] = "input_dim"

    config: DACRVQConfig

    @property
    def dim(self) -> int:
        """The channels that are quantized."""
        return self.config.input_dim

    @property
    def extra_decoder_channels(self) -> int:
        """The channels of noise."""
        return self.config.noise_augment_dim

    @property
    def num_quantizers(self) -> int:
        """Codes per frame."""
        return self.config.n_codebooks

    @property
    def codebook_size(self) -> int:
        """Different values of a code."""
        return self.config.codebook_size


@member
class DACRVQVAENode(BottleneckNode, kw_only=True, tag="dac_rvq_vae"):
    """Gaussian latents, as of `vae`, quantized as by `dac_rvq`.

    Attributes:
        config: The codebooks.
    """

    losses: ClassVar[tuple[str, ...]] = ("kl", "codebook_loss", "commitment_loss")
    token_layout: ClassVar[TokenLayout | None] = "b q l"
    dim_key: ClassVar[str] = "input_dim"

    config: DACRVQVAEConfig

    @property
    def encoder_channels_per_latent(self) -> int:
        """Two: a mean and a scale."""
        return 2

    @property
    def dim(self) -> int:
        """The channels that are quantized."""
        return self.config.input_dim

    @property
    def num_quantizers(self) -> int:
        """Codes per frame."""
        return self.config.n_codebooks

    @property
    def codebook_size(self) -> int:
        """Different values of a code."""
        return self.config.codebook_size


# -------------------------------------------------------------------- finite scalar quantization


class FSQConfig(Node, kw_only=True):
    """Finite scalar quantization.

    Attributes:
        levels: Values that each channel of a codebook may take; their product is the number of
            different codes.
        num_codebooks: Codes per frame, each of as many channels as there are levels.
        keep_num_codebooks_dim: Keep the axis of codebooks in the codes, as is always done here;
            SAT cannot encode with a single codebook unless this is true.
        dim: Channels of the latents; anything but the channels of all codebooks adds a projection.
        scale: A factor that the library stores.
        channel_first: The library's own layout.
        projection_has_bias: Whether the projection has a bias.
        return_indices: Codes are always wanted.
        noise_augment_dim: Channels of Gaussian noise that are added before the decoder.
    """

    weight_keys: ClassVar[tuple[str, ...]] = (
        "levels",
        "num_codebooks",
        "dim",
        "projection_has_bias",
    )
    harmless_keys: ClassVar[tuple[str, ...]] = ("keep_num_codebooks_dim",)
    latent_keys: ClassVar[tuple[str, ...] | None] = (
        "levels",
        "num_codebooks",
        "dim",
        "projection_has_bias",
    )

    levels: Annotated[tuple[Levels, ...], Meta(min_length=1)]
    num_codebooks: Positive = 1
    keep_num_codebooks_dim: bool | None = None
    dim: Positive | None = None
    scale: Annotated[float | None, Meta(extra={"inert": "quantization does not depend on it"})] = (
        None
    )
    channel_first: Literal[False] = False
    projection_has_bias: bool = True
    return_indices: Literal[True] = True
    noise_augment_dim: NonNegative = 0


@member
class FSQNode(BottleneckNode, kw_only=True, tag="fsq"):
    """Latents rounded to a grid (Mentzer et al. 2023, arXiv 2309.15505).

    Attributes:
        config: The grid.
    """

    token_layout: ClassVar[TokenLayout | None] = "b q l"

    config: FSQConfig

    @property
    def dim(self) -> int:
        """`dim`, or without it the channels of all codebooks."""
        config = self.config
        return config.dim or len(config.levels) * config.num_codebooks

    @property
    def extra_decoder_channels(self) -> int:
        """The channels of noise."""
        return self.config.noise_augment_dim

    @property
    def num_quantizers(self) -> int:
        """Codes per frame."""
        return self.config.num_codebooks

    @property
    def codebook_size(self) -> int:
        """The product of the levels."""
        return math.prod(self.config.levels)


class DitheredFSQConfig(Node, kw_only=True):
    """Finite scalar quantization that is replaced by noise at times in training.

    Attributes:
        dim: Channels of each codebook.
        levels: Values that each channel may take, for all or for each.
        num_codebooks: Codes per frame, each of `dim` channels.
        dither_inference: Add noise outside of training.
        noise_dropout: Share of items that are not quantized, and share that get no noise, in
            training.
    """

    training_keys: ClassVar[tuple[str, ...]] = ("noise_dropout",)

    dim: Positive
    levels: Levels | Annotated[tuple[Levels, ...], Meta(min_length=1)]
    num_codebooks: Positive = 1
    dither_inference: Annotated[
        bool, Meta(extra={"inert": "noise is added in training only, as in SAT"})
    ] = True
    noise_dropout: Probability = 0.05


@member
class DitheredFSQNode(BottleneckNode, kw_only=True, tag="dithered_fsq"):
    """Latents rounded to a grid, with noise of the grid's width in training.

    Attributes:
        config: The grid.
    """

    token_layout: ClassVar[TokenLayout | None] = "b l q"

    config: DitheredFSQConfig

    @property
    def dim(self) -> int:
        """The channels of all codebooks."""
        return self.config.dim * self.config.num_codebooks

    @property
    def num_quantizers(self) -> int:
        """Codes per frame."""
        return self.config.num_codebooks

    @property
    def codebook_size(self) -> int:
        """The product of the levels."""
        levels = self.config.levels
        return levels**self.config.dim if isinstance(levels, int) else math.prod(levels)
