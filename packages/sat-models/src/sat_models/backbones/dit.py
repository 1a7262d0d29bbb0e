"""The diffusion transformer, DiT (Peebles and Xie 2023, 2212.09748), as in Stable Audio.

Stable Audio: Evans et al. 2024, 2404.10301.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from sat_config.audio.diffusion import DiTNode, DiTUncondNode
from sat_config.audio.transformer import DiTOptions
from sat_models.backbones.base import (
    Backbone,
    ConditionedBackbone,
    build_backbone,
    build_conditioned_backbone,
)
from sat_models.backbones.conditioning import NO_CONDITIONING, Conditioning
from sat_models.backbones.transformer import build_transformer
from sat_models.layers.fourier import FourierFeatures
from sat_models.layers.transformer import ContinuousTransformer, Tokens
from sat_models.models.objectives import Objective, build_objective

TIMESTEP_FEATURES = 256
UNCONDITIONAL_INIT_SCALE = 0.5


@dataclass(frozen=True)
class Inlets:
    """Widths of what a diffusion transformer takes in besides the signal; 0 closes a way in.

    Attributes:
        cross_attention: Of embeddings to cross-attend to.
        context: Of the same inside, where the layers attend to them.
        global_: Of the embedding for the whole.
        prepend: Of embeddings that become tokens before the input.
        concat: Channels that are joined to the signal.
        timestep: Channels of the timestep that are joined to the signal; with 0, the timestep goes
            where the embedding for the whole goes.
    """

    cross_attention: int = 0
    context: int = 0
    global_: int = 0
    prepend: int = 0
    concat: int = 0
    timestep: int = 0


@dataclass(frozen=True)
class _Inputs:
    """What goes into the transformer."""

    x: Tensor
    mask: Tensor | None
    prepended: Tokens | None
    context: Tokens | None
    condition: Tensor | None


class DiffusionTransformer(nn.Module):
    """Frames are tokens; conditions come in as tokens, as modulation, as context or as channels.

    Unlike Peebles and Xie's, positions are rotary as a rule, and convolutions of one tap before and
    after start at zero and are added to what they act on.

    Deviations from SAT: a timestep of any width can come in as channels, there only one of width 1.
    And masks have an effect: a padding mask always, for only training gives one; the masks of
    conditions with `heed_masks`. SAT ignores them all, and so do builders for conditions, since
    public models were trained to attend to the zeros in the place of what is masked.
    """

    def __init__(
        self,
        transformer: ContinuousTransformer,
        *,
        io_channels: int,
        width: int,
        patch_size: int,
        inlets: Inlets,
        modulated: bool,
        heed_masks: bool,
    ) -> None:
        """Create the layers around a transformer.

        Args:
            transformer: Acts on patches of frames.
            io_channels: Channels of the signal.
            width: Features of a token inside the transformer.
            patch_size: Frames per token.
            inlets: Widths of the conditions.
            modulated: The embedding for the whole modulates the layers; if not, it is a token.
            heed_masks: Whether the padding of conditions is not attended to.
        """
        super().__init__()
        self.io_channels, self.patch_size, self.inlets = io_channels, patch_size, inlets
        self.modulated, self.heed_masks = modulated, heed_masks
        self.timestep_features = FourierFeatures(TIMESTEP_FEATURES)
        timestep_width = inlets.timestep or width
        self.to_timestep_embed = nn.Sequential(
            nn.Linear(TIMESTEP_FEATURES, timestep_width),
            nn.SiLU(),
            nn.Linear(timestep_width, timestep_width),
        )
        if inlets.cross_attention:
            self.to_cond_embed = condition_embedder(inlets.cross_attention, inlets.context)
        if inlets.global_:
            self.to_global_embed = condition_embedder(inlets.global_, width)
        if inlets.prepend:
            self.to_prepend_embed = condition_embedder(inlets.prepend, width)
        self.transformer = transformer
        self.preprocess_conv = _silent_conv(io_channels + inlets.concat + inlets.timestep)
        self.postprocess_conv = _silent_conv(io_channels)

    def forward(
        self,
        x: Float[Tensor, "b d l"],
        t: Float[Tensor, " b"],
        conditioning: Conditioning,
        *,
        padding_mask: Bool[Tensor, "b l"] | None = None,
    ) -> Float[Tensor, "b d l"]:
        """Predict from a noisy signal; computed, and returned, in the dtype of the weights.

        Args:
            x: The signal with noise.
            t: How much noise, in [0, 1]; 1 is noise alone.
            conditioning: What steers the network.
            padding_mask: True for the frames that are no padding. These come out as if the padding
                had been cut off after a whole patch; the others are of no use.

        Raises:
            ValueError: The length of `x` is no multiple of the patch size, or there is a condition
                that has no way in.
        """
        given = self._inputs(x, t, conditioning, padding_mask)
        tokens = self.transformer(
            given.x,
            mask=given.mask,
            prepended=given.prepended,
            context=given.context,
            condition=given.condition,
        )
        prediction = rearrange(tokens, "b l (d p) -> b d (l p)", p=self.patch_size)
        result: Tensor = prediction + self.postprocess_conv(prediction)
        return result

    def features(
        self,
        x: Float[Tensor, "b d l"],
        t: Float[Tensor, " b"],
        conditioning: Conditioning,
        *,
        layer: int,
    ) -> Float[Tensor, "b k e"]:
        """The tokens after one layer of the transformer; later layers are not run.

        Args:
            x: The signal with noise.
            t: How much noise, in [0, 1].
            conditioning: What steers the network.
            layer: Number of the layer, from 0.

        Returns:
            The tokens before the input, if there are any, and those of the input.

        Raises:
            ValueError: As of `forward`, or there is no such layer.
        """
        given = self._inputs(x, t, conditioning, None)
        return self.transformer.features(
            given.x,
            layer=layer,
            prepended=given.prepended,
            context=given.context,
            condition=given.condition,
        )

    def _inputs(
        self, x: Tensor, t: Tensor, conditioning: Conditioning, padding_mask: Tensor | None
    ) -> _Inputs:
        self._check(x, conditioning)
        dtype = self.preprocess_conv.weight.dtype
        conditioning = conditioning.to(dtype)
        timestep = self.to_timestep_embed(self.timestep_features(t))  # b e
        whole = None if self.inlets.timestep else timestep
        if conditioning.global_ is not None:
            embedded = self.to_global_embed(conditioning.global_)
            whole = embedded if whole is None else embedded + whole
        channels = [x.to(dtype)]
        if conditioning.input_concat is not None:
            channels.append(_stretched(conditioning.input_concat, x.shape[-1]))
        if self.inlets.timestep:
            channels.append(timestep[..., None].expand(-1, -1, x.shape[-1]))
        x = torch.cat(channels, dim=1)
        x = x + self.preprocess_conv(x)
        if padding_mask is not None:
            padding_mask = rearrange(padding_mask, "b (l p) -> b l p", p=self.patch_size).any(-1)
        return _Inputs(
            x=rearrange(x, "b d (l p) -> b l (d p)", p=self.patch_size),
            mask=padding_mask,
            prepended=self._prepended(conditioning, None if self.modulated else whole),
            context=self._context(conditioning),
            condition=whole if self.modulated else None,
        )

    def _check(self, x: Tensor, conditioning: Conditioning) -> None:
        if x.shape[-1] % self.patch_size:
            raise ValueError(
                f"expected a multiple of {self.patch_size} frames (the patch size), got"
                f" {x.shape[-1]}"
            )
        for name in ("cross_attention", "global_", "prepend"):
            if getattr(conditioning, name) is not None and not getattr(self.inlets, name):
                raise ValueError(
                    f"this network takes no {name.rstrip('_')} condition, but there is one"
                )

    def _prepended(self, conditioning: Conditioning, whole: Tensor | None) -> Tokens | None:
        tokens = mask = None
        if conditioning.prepend is not None:
            tokens = self.to_prepend_embed(conditioning.prepend)
            mask = conditioning.prepend_mask if self.heed_masks else None
        if whole is not None:
            if mask is not None:
                mask = functional.pad(mask, (0, 1), value=True)
            last = whole[:, None]
            tokens = last if tokens is None else torch.cat((tokens, last), dim=1)
        return None if tokens is None else Tokens(tokens, mask)

    def _context(self, conditioning: Conditioning) -> Tokens | None:
        """What there is to attend to: nothing has a bias on the way, so that zeros add nothing."""
        steered = conditioning.steered
        if conditioning.cross_attention is None or steered == 0:
            return None
        mask = conditioning.cross_attention_mask if self.heed_masks else None
        embedded = self.to_cond_embed(conditioning.cross_attention[:steered])
        return Tokens(embedded, None if mask is None else mask[:steered])


class ConditionedDiT(ConditionedBackbone):
    """A diffusion transformer that conditions steer."""

    def __init__(self, model: DiffusionTransformer, *, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.io_channels, self.objective = model.io_channels, objective
        self.frame_multiple = model.patch_size

    def forward(
        self,
        x: Float[Tensor, "b d l"],
        t: Float[Tensor, " b"],
        conditioning: Conditioning,
        *,
        padding_mask: Bool[Tensor, "b l"] | None = None,
    ) -> Float[Tensor, "b d l"]:
        """Predict from a noisy signal."""
        prediction: Tensor = self.model(x, t, conditioning, padding_mask=padding_mask)
        return prediction


class UnconditionalDiT(Backbone):
    """A diffusion transformer that nothing steers.

    All its initial weights are halved, the gains of the norms too: SAT does so in unconditional
    models only.
    """

    def __init__(self, model: DiffusionTransformer, *, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.io_channels, self.objective = model.io_channels, objective
        self.frame_multiple = model.patch_size
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(UNCONDITIONAL_INIT_SCALE)

    def forward(self, x: Float[Tensor, "b d l"], t: Float[Tensor, " b"]) -> Float[Tensor, "b d l"]:
        """Predict from a noisy signal."""
        prediction: Tensor = self.model(x, t, NO_CONDITIONING)
        return prediction


def condition_embedder(in_width: int, out_width: int) -> nn.Sequential:
    """Two linear maps without biases: zeros, which stand for no condition, stay zeros."""
    return nn.Sequential(
        nn.Linear(in_width, out_width, bias=False),
        nn.SiLU(),
        nn.Linear(out_width, out_width, bias=False),
    )


def build_dit(options: DiTOptions, *, io_channels: int, inlets: Inlets) -> DiffusionTransformer:
    """Build a diffusion transformer, with fresh weights.

    Args:
        options: Sizes and options.
        io_channels: Channels of the signal.
        inlets: What comes in besides it.

    Raises:
        ValueError: Widths and heads do not fit each other.
    """
    modulated = options.global_cond_type == "adaLN"
    channels = io_channels + inlets.concat + inlets.timestep
    transformer = build_transformer(
        options,
        in_channels=channels * options.patch_size,
        out_channels=io_channels * options.patch_size,
        depth=options.depth,
        context_width=inlets.context or None,
        modulated=modulated,
        causal=options.causal,
    )
    return DiffusionTransformer(
        transformer,
        io_channels=io_channels,
        width=options.embed_dim,
        patch_size=options.patch_size,
        inlets=inlets,
        modulated=modulated,
        heed_masks=False,
    )


def timestep_channels(options: DiTOptions) -> int:
    """Channels of the timestep at the input; 0 if it comes in elsewhere."""
    wanted = options.timestep_cond_type == "input_concat"
    return options.timestep_embed_dim or 0 if wanted else 0


def _stretched(x: Tensor, length: int) -> Tensor:
    return x if x.shape[-1] == length else functional.interpolate(x, length, mode="nearest")


def _silent_conv(channels: int) -> nn.Conv1d:
    conv = nn.Conv1d(channels, channels, 1, bias=False)
    nn.init.zeros_(conv.weight)
    return conv


@build_backbone.register
def _(node: DiTUncondNode) -> UnconditionalDiT:
    config = node.config
    inlets = Inlets(timestep=timestep_channels(config))
    model = build_dit(config, io_channels=config.in_channels, inlets=inlets)
    return UnconditionalDiT(model, objective=build_objective(config.diffusion_objective))


@build_conditioned_backbone.register
def _(node: DiTNode) -> ConditionedDiT:
    config = node.config
    cross_attention = config.cond_token_dim
    inner = config.embed_dim if config.project_cond_tokens else cross_attention
    inlets = Inlets(
        cross_attention=cross_attention,
        context=inner if cross_attention else 0,
        global_=config.global_cond_dim,
        prepend=config.prepend_cond_dim,
        concat=config.input_concat_dim,
        timestep=timestep_channels(config),
    )
    model = build_dit(config, io_channels=config.io_channels, inlets=inlets)
    return ConditionedDiT(model, objective=build_objective(node.diffusion_objective))
