"""Diffusion models and their backbones, one family for each place where one can stand."""

from __future__ import annotations

import sat_config.audio.conditioner as conditioner
import sat_config.audio.transformer as transformer
import sat_config.audio.unet as unet
from sat_config.audio.conditioner import Channels, Inlet
from sat_config.node import Node, Positive
from sat_config.registry import Open, family, member, refuse

INPAINT_MASK = "inpaint_mask"
INPAINT_SIGNAL = "inpaint_masked_input"

# ---------------------------------------------------------------------------------- unconditional


@family("unconditional diffusion backbone")
class DiffusionUncondNode(conditioner.LatentModel, kw_only=True, tag_field="type"):
    """An unconditional diffusion model, as it stands under `model`."""

    @property
    def io_channels(self) -> int:
        """Channels of the signal."""
        raise NotImplementedError

    @property
    def length_multiple(self) -> int:
        """What the length of the signal, in frames, must be a multiple of."""
        raise NotImplementedError


@member
class DiTUncondNode(DiffusionUncondNode, kw_only=True, tag="dit"):
    """A diffusion transformer.

    Attributes:
        config: Its sizes.
    """

    config: transformer.DiTUncondConfig

    @property
    def io_channels(self) -> int:
        """Channels of the signal."""
        return self.config.in_channels

    @property
    def declared_channels(self) -> Channels:
        """The one count."""
        return ((("config", "in_channels"), self.config.in_channels),)

    @property
    def length_multiple(self) -> int:
        """Frames of a token."""
        return self.config.patch_size


@member
class AdpUncond1dNode(DiffusionUncondNode, kw_only=True, tag="adp_uncond_1d"):
    """A U-Net.

    Attributes:
        config: Its sizes.
    """

    config: unet.AdpUncond1dConfig

    @property
    def io_channels(self) -> int:
        """Channels of the signal."""
        return self.config.in_channels

    @property
    def declared_channels(self) -> Channels:
        """Those in and out."""
        return _adp_channels(self.config)

    @property
    def length_multiple(self) -> int:
        """The product of the factors, in patches."""
        return self.config.length_multiple


@member
class DAU1dNode(DiffusionUncondNode, kw_only=True, tag="DAU1d"):
    """The U-Net of Dance Diffusion.

    Attributes:
        config: Its sizes.
    """

    config: unet.DAU1dConfig = unet.DAU1dConfig()

    @property
    def io_channels(self) -> int:
        """Channels of the signal."""
        return self.config.io_channels

    @property
    def declared_channels(self) -> Channels:
        """The one count."""
        return ((("config", "io_channels"), self.config.io_channels),)

    @property
    def length_multiple(self) -> int:
        """The product of the strides."""
        return self.config.length_multiple


def _adp_channels(config: unet.AdpOptions) -> Channels:
    outgoing = config.out_channels
    rest = ((("config", "out_channels"), outgoing),) if outgoing is not None else ()
    return ((("config", "in_channels"), config.in_channels), *rest)


# ------------------------------------------------------------------------------------ conditional


class DistributionShift(Node, kw_only=True):
    """Timesteps moved towards noise for long signals (Esser et al. 2024, arXiv 2403.03206).

    Attributes:
        base_shift: Shift at `min_length`; higher spends more on noisy timesteps.
        max_shift: Shift at `max_length`.
        max_length: Frames from which on the shift grows no more.
        min_length: Frames up to which the shift stays at its least.
        use_sine: Bend the shifted timesteps by a quarter of a sine.
    """

    base_shift: float = 0.5
    max_shift: float = 1.15
    max_length: Positive = 4096
    min_length: Positive = 256
    use_sine: bool = False


@family("diffusion backbone")
class DiffusionBackboneNode(conditioner.ConditionedBackbone, kw_only=True, tag_field="type"):
    """The backbone of a conditional diffusion model.

    Attributes:
        diffusion_objective: What the network predicts and how it is sampled.
        input_concat_ids: Conditions joined to the input as channels. `inpaint_mask` and
            `inpaint_masked_input` stand for what is kept when a part is made anew.
        distribution_shift_options: How timesteps depend on the length; not at all if left out.
    """

    diffusion_objective: transformer.Objective = "v"
    input_concat_ids: tuple[str, ...] = ()
    distribution_shift_options: DistributionShift | None = None

    @property
    def routes(self) -> dict[str, tuple[str, ...]]:
        """The conditions on each way into the network."""
        return {**super().routes, "input_concat_ids": self.input_concat_ids}

    @property
    def declared_channels(self) -> Channels:
        """Channels of the signal, wherever they are written below this node."""
        raise NotImplementedError

    @property
    def length_multiple(self) -> int:
        """What the length of the signal, in frames, must be a multiple of."""
        raise NotImplementedError


@member
class DiTNode(DiffusionBackboneNode, kw_only=True, tag="dit"):
    """A diffusion transformer.

    Attributes:
        config: Its sizes.
    """

    config: transformer.DiTConfig

    @property
    def inlets(self) -> dict[str, Inlet]:
        """All four."""
        config = self.config
        return {
            "cross_attention_cond_ids": Inlet("cond_token_dim", config.cond_token_dim),
            "global_cond_ids": Inlet("global_cond_dim", config.global_cond_dim),
            "prepend_cond_ids": Inlet("prepend_cond_dim", config.prepend_cond_dim),
            "input_concat_ids": Inlet("input_concat_dim", config.input_concat_dim),
        }

    @property
    def declared_channels(self) -> Channels:
        """The one count."""
        return ((("config", "io_channels"), self.config.io_channels),)

    @property
    def length_multiple(self) -> int:
        """Frames of a token."""
        return self.config.patch_size


class AdpBackboneNode(DiffusionBackboneNode, kw_only=True):
    """What both U-Nets have in common."""

    @property
    def config(self) -> unet.Adp1dConfig:
        """Its sizes."""
        raise NotImplementedError

    @property
    def inlets(self) -> dict[str, Inlet]:
        """Global conditions and channels; there is none for tokens put before the input."""
        return {
            "global_cond_ids": Inlet("context_features", self.config.context_features or 0),
            "input_concat_ids": Inlet("context_channels", self.config.concat_channels),
        }

    @property
    def declared_channels(self) -> Channels:
        """Those in and out."""
        return _adp_channels(self.config)

    @property
    def length_multiple(self) -> int:
        """The product of the factors, in patches."""
        return self.config.length_multiple


@member
class Adp1dNode(AdpBackboneNode, kw_only=True, tag="adp_1d"):
    """A U-Net without cross-attention.

    Attributes:
        config: Its sizes.
    """

    config: unet.Adp1dConfig


@member
class AdpCfg1dNode(AdpBackboneNode, kw_only=True, tag="adp_cfg_1d"):
    """A U-Net with cross-attention.

    Attributes:
        config: Its sizes.
    """

    config: unet.AdpCfg1dConfig

    @property
    def inlets(self) -> dict[str, Inlet]:
        """Those of all U-Nets, and cross-attention."""
        cross = Inlet("context_embedding_features", self.config.context_embedding_features)
        return {**super().inlets, "cross_attention_cond_ids": cross}


class DiffusionCondConfig(conditioner.ConditionedModel, kw_only=True):
    """A conditional diffusion model, for inpainting too, as it stands under `model`.

    Attributes:
        io_channels: Channels of the signal that is made: latents, or audio without a pretransform.
        diffusion: The network, and what steers it in which way.
    """

    io_channels: Positive
    diffusion: Open[DiffusionBackboneNode]

    @property
    def backbone(self) -> DiffusionBackboneNode:
        """The network."""
        return self.diffusion

    @property
    def backbone_key(self) -> str:
        """Where it stands."""
        return "diffusion"

    @property
    def declared_channels(self) -> Channels:
        """Those of the model and those of its network."""
        below = self.diffusion.declared_channels
        inner = tuple((("diffusion", *path), count) for path, count in below)
        return ((("io_channels",), self.io_channels), *inner)

    @property
    def runtime_signals(self) -> dict[str, int]:
        """The mask and the signal of inpainting, which training and sampling supply."""
        return {INPAINT_MASK: 1, INPAINT_SIGNAL: self.io_channels}


# ------------------------------------------------------------------------- diffusion autoencoders


@family("diffusion autoencoder backbone")
class DiffusionAutoencoderBackboneNode(Node, kw_only=True, tag_field="type"):
    """The backbone of a diffusion autoencoder, which the latents steer as channels of its input."""

    @property
    def io_channels(self) -> int:
        """Channels of the signal."""
        raise NotImplementedError

    @property
    def latent_inlet(self) -> Inlet:
        """Where the latents go in."""
        raise NotImplementedError

    @property
    def length_multiple(self) -> int:
        """What the length of the signal, in frames, must be a multiple of."""
        raise NotImplementedError


@member
class DiTAutoencoderNode(DiffusionAutoencoderBackboneNode, kw_only=True, tag="dit"):
    """A diffusion transformer.

    Attributes:
        config: Its sizes and its objective.
    """

    config: transformer.DiTAutoencoderConfig

    @property
    def io_channels(self) -> int:
        """Channels of the signal."""
        return self.config.io_channels

    @property
    def latent_inlet(self) -> Inlet:
        """Where the latents go in."""
        return Inlet("input_concat_dim", self.config.input_concat_dim)

    @property
    def length_multiple(self) -> int:
        """Frames of a token."""
        return self.config.patch_size


@member
class Adp1dAutoencoderNode(DiffusionAutoencoderBackboneNode, kw_only=True, tag="adp_1d"):
    """A U-Net without cross-attention.

    Attributes:
        config: Its sizes.
    """

    config: unet.AdpConcatConfig

    @property
    def io_channels(self) -> int:
        """Channels of the signal."""
        return self.config.in_channels

    @property
    def latent_inlet(self) -> Inlet:
        """Where the latents go in."""
        return Inlet("context_channels", self.config.concat_channels)

    @property
    def length_multiple(self) -> int:
        """The product of the factors, in patches."""
        return self.config.length_multiple


@member
class DAU1dAutoencoderNode(DiffusionAutoencoderBackboneNode, kw_only=True, tag="DAU1d"):
    """The U-Net of Dance Diffusion.

    Attributes:
        config: Its sizes.
    """

    config: unet.DAU1dAutoencoderConfig

    @property
    def io_channels(self) -> int:
        """Channels of the signal."""
        return self.config.io_channels

    @property
    def latent_inlet(self) -> Inlet:
        """Where the latents go in."""
        return Inlet("cond_dim", self.config.cond_dim)

    @property
    def length_multiple(self) -> int:
        """The product of the strides."""
        return self.config.length_multiple


# ---------------------------------------------------------------------- backbones where they fail

_OF_CONDITIONS = "it cross-attends to conditions, and there are none here"

refuse(DiffusionUncondNode, "adp_1d", "without conditions this U-Net is called adp_uncond_1d")
refuse(DiffusionUncondNode, "adp_cfg_1d", _OF_CONDITIONS)
refuse(DiffusionBackboneNode, "adp_uncond_1d", "with conditions this U-Net is called adp_1d")
refuse(
    DiffusionBackboneNode,
    "DAU1d",
    "it takes no conditions of a text or a number; SAT's documents list it here, but SAT fails",
)
refuse(DiffusionAutoencoderBackboneNode, "adp_cfg_1d", _OF_CONDITIONS)
refuse(DiffusionAutoencoderBackboneNode, "adp_uncond_1d", "the one that takes latents is adp_1d")
