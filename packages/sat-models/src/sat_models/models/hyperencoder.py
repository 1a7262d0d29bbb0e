"""The hyperencoder: an autoencoder whose decoder adapts to each item."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sat_config.audio.autoencoder import HyperencoderConfig, HypernetworkConfig
from sat_config.audio.experiment import HyperencoderExperiment
from sat_config.errors import UserError
from sat_models.build import build_model
from sat_models.layers.recompute import Recomputed
from sat_models.models.autoencoder import AudioAutoencoder, build_autoencoder
from sat_models.models.hypernetwork import (
    AdaptedLayer,
    Factors,
    Hypernetwork,
    find_layers,
    find_upsampling,
    layer_widths,
)

Adaptation = tuple[Factors, ...]
"""The changes of all adapted layers' weights."""


class Hyperencoder(AudioAutoencoder):
    """An autoencoder with a hypernetwork that changes the decoder's weights item by item.

    The changes follow from the latents of the whole item. SAT names this type of model and has
    none, so there are no numbers to agree with.

    Attributes:
        hypernetwork: Latents to changes of weights.
    """

    def __init__(
        self,
        autoencoder: AudioAutoencoder,
        *,
        layers: dict[str, nn.Module],
        hypernetwork: Hypernetwork,
    ) -> None:
        """Adapt an autoencoder, whose parts this model takes over.

        Args:
            autoencoder: A plain one.
            layers: The layers of its decoder that adapt, in the order of the hypernetwork's.
            hypernetwork: Writes their changes.

        Raises:
            UserError: The decoder recomputes activations in the backward pass, when it is not known
                any more which item's weights they came from.
        """
        if any(isinstance(m, Recomputed) and m.recompute for m in autoencoder.decoder.modules()):
            raise UserError(
                "the decoder of a hyperencoder cannot recompute its activations in the backward"
                " pass; set model.decoder.config.checkpointing to false"
            )
        super().__init__(
            autoencoder.encoder,
            autoencoder.decoder,
            bottleneck=autoencoder.bottleneck,
            pretransform=autoencoder.pretransform,
            sample_rate=autoencoder.sample_rate,
            latent_dim=autoencoder.latent_dim,
            in_channels=autoencoder.in_channels,
            out_channels=autoencoder.out_channels,
            soft_clip=autoencoder.soft_clip,
        )
        self.hypernetwork = hypernetwork
        self._adapted = [AdaptedLayer(layer) for layer in layers.values()]

    def adapt(self, latents: Float[Tensor, "b d l"]) -> Adaptation:
        """The decoder's weights for the items that latents describe as a whole."""
        changes: Adaptation = self.hypernetwork(latents)
        return changes

    def decode_with(
        self,
        adaptation: Adaptation,
        latents: Float[Tensor, "b d l"],
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "b c t"]:
        """Decode latents, or pieces of them, with given weights.

        Args:
            adaptation: What `adapt` returned.
            latents: As for `decode`.
            generator: As for `decode`.
        """
        return self._adapted_to(adaptation, partial(self._decode, latents, generator))

    def decoder_for(
        self, latents: Float[Tensor, "b d l"]
    ) -> Callable[[Tensor, torch.Generator | None], Tensor]:
        """A function that decodes pieces of these latents with the weights of the whole."""
        return partial(self.decode_with, self.adapt(latents))

    def decode_tokens(
        self, tokens: Int[Tensor, "b q l"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b c t"]:
        """Turn integer codes into audio of `l * hop_length` samples; `generator` as of `decode`.

        Raises:
            ValueError: The bottleneck has no codes, or not these.
        """
        bottleneck = self.discrete_bottleneck()
        bottleneck.check_tokens(tokens)
        latents = bottleneck.tokens_to_latents(tokens)
        decode = partial(super().decode_tokens, tokens, generator=generator)
        return self._adapted_to(self.adapt(latents), decode)

    def _adapted_to(self, adaptation: Adaptation, run: Callable[[], Tensor]) -> Tensor:
        self._set(adaptation)
        try:
            return run()
        finally:
            self._set((None,) * len(adaptation))

    def _set(self, adaptation: tuple[Factors | None, ...]) -> None:
        for layer, factors in zip(self._adapted, adaptation, strict=True):
            layer.factors = factors


def choose_layers(decoder: nn.Module, config: HypernetworkConfig) -> dict[str, nn.Module]:
    """The layers of a decoder that adapt, by name.

    Raises:
        UserError: A pattern fits no layer, or there is none of the kind that is wanted.
    """
    layers = find_upsampling(decoder) if config.layers == "upsampling" else find_layers(decoder)
    if not layers:
        raise UserError(
            "model.hypernetwork.layers: the decoder has no layer that changes the length; choose"
            " some by name"
        )
    if isinstance(config.layers, str):
        return layers
    patterns = config.layers
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in layers):
            raise UserError(
                f"model.hypernetwork.layers: {pattern!r} fits no layer of the decoder; it has"
                f" {', '.join(layers)}"
            )
    return {
        name: layer
        for name, layer in layers.items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    }


def build_hyperencoder(node: HyperencoderConfig, *, sample_rate: int) -> Hyperencoder:
    """Build a hyperencoder, with fresh weights.

    Args:
        node: The model, as it stands under `model`.
        sample_rate: Hz of the audio.

    Raises:
        MissingBuilderError: Nothing installed builds one of its parts.
        UserError: The decoder has no such layers, or cannot adapt.
    """
    config = node.hypernetwork
    autoencoder = build_autoencoder(node, sample_rate=sample_rate)
    layers = choose_layers(autoencoder.decoder, config)
    hypernetwork = Hypernetwork(
        node.latent_dim,
        layer_widths=[layer_widths(layer) for layer in layers.values()],
        attend=config.summary == "attention",
        summary_dim=config.summary_dim,
        embedding_dim=config.embedding_dim,
        hidden_sizes=config.hidden_sizes,
        rank=config.rank,
        init_scale=config.init_scale,
    )
    return Hyperencoder(autoencoder, layers=layers, hypernetwork=hypernetwork)


@build_model.register
def _(experiment: HyperencoderExperiment) -> Hyperencoder:
    return build_hyperencoder(experiment.model, sample_rate=experiment.sample_rate)
