"""What conditional diffusion models show of themselves."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sat_config.audio.demo import (
    AudioDisplayNode,
    CondDisplayNode,
    DiffusionCondDemo,
    InpaintDemo,
    StemsDisplayNode,
)
from sat_config.audio.diffusion import INPAINT_SIGNAL
from sat_config.audio.inference import Inference, Sampler
from sat_config.audio.inpainting import MaskConfig
from sat_config.audio.training import DiffusionCondTraining, DiffusionInpaintTraining
from sat_config.errors import UserError
from sat_models.backbones.conditioning import Conditioning
from sat_models.data.batch import Batch
from sat_models.generation import generate
from sat_models.models.conditioned_diffusion import ConditionedDiffusionModel
from sat_models.models.guidance import Guidance, guided_only
from sat_models.sampling.start import starting_noise
from sat_models.sampling.table import Solver, Start, sample
from sat_train.audio.demo import AudioDemo
from sat_train.methods.gaps import draw_gaps
from sat_train.methods.latent import Encoded, encode

Entry = Mapping[str, Any]

AUDIO = "audio"


@dataclass(frozen=True)
class ConditionedDemos:
    """Clips of given conditions, or those of the data, at several guidance scales.

    A model that guidance cannot lead away from anything is shown at scale 1 alone.

    Attributes:
        model: The model, in eval mode.
        demo: What to show.
        sampler: The solver; None for the one that suits the model's objective.
        seed: Decides the noise, which is the same for every scale and every demo.
        sample_size: Samples of a clip.
    """

    model: ConditionedDiffusionModel
    demo: DiffusionCondDemo
    sampler: Sampler | None
    seed: int
    sample_size: int

    def make(self, batches: Iterable[Batch], *, rng: Random) -> Iterator[AudioDemo]:
        """The clips, scale by scale.

        Args:
            batches: The data, for conditions.
            rng: Not looked at: nothing is drawn but noise.

        Raises:
            UserError: A condition that is to be shown is no audio.
        """
        entries = self._entries(batches)
        shown = [self._shown(entry) for entry in entries]
        for scale in self._scales():
            wanted = Inference(
                sampler=self.sampler,
                num_samples=len(entries),
                steps=self.demo.demo_steps,
                seed=self.seed,
                cfg_scale=scale,
                conditioning=tuple(dict(entry) for entry in self._known(entries)),
            )
            made = generate(self.model, wanted, sample_size=self.sample_size)
            for clip, conditions in zip(made.audio.cpu(), shown, strict=True):
                yield AudioDemo(
                    name=f"cfg_{scale:g}",
                    audio={"generated": clip, **self._versions(conditions, clip)},
                    sample_rate=made.sample_rate,
                )

    def _entries(self, batches: Iterable[Batch]) -> list[Entry]:
        if not self.demo.demo_cond_from_batch:
            return list(self.demo.demo_cond)
        found = (entry for batch in batches for entry in batch.metadata)
        return list(islice(found, self.demo.num_demos))

    def _known(self, entries: Sequence[Entry]) -> list[Entry]:
        """Of the data's metadata, what conditioners read."""
        conditioner = self.model.conditioner
        if not self.demo.demo_cond_from_batch or conditioner is None:
            return list(entries)
        names = {*conditioner.conditioners, *conditioner.default_keys.values()}
        return [{key: entry[key] for key in entry if key in names} for entry in entries]

    def _scales(self) -> Sequence[float]:
        routes = self.model.routes
        guidable = routes.cross_attention or routes.prepend
        return self.demo.demo_cfg_scales if guidable else (1.0,)

    def _shown(self, entry: Entry) -> dict[str, tuple[Tensor, bool]]:
        """The conditions to show, as audio, and whether with a mix."""
        nodes: list[CondDisplayNode] = [*self.demo.cond_display_configs]
        if self.demo.display_audio_cond:
            nodes.insert(0, AudioDisplayNode(id=AUDIO))
        return {node.id: self._as_audio(node, entry) for node in nodes}

    def _as_audio(self, node: CondDisplayNode, entry: Entry) -> tuple[Tensor, bool]:
        assert isinstance(node, AudioDisplayNode | StemsDisplayNode)
        value = entry.get(node.id)
        found = list(value.values()) if isinstance(value, Mapping) else [value]
        signals = [signal for signal in found if isinstance(signal, Tensor)]
        if not signals or len(signals) < len(found):
            raise UserError(
                f"training.demo shows the condition {node.id!r}, but the metadata has no audio"
                " there: set demo_cond_from_batch, and have the dataset supply it"
            )
        stems = torch.stack(signals)  # n c t
        if node.config.pre_encoded:
            stems = self.model.to_audio(stems)
        mixed = isinstance(node, StemsDisplayNode) or node.config.display_mix
        return stems.sum(0).float().cpu(), mixed

    def _versions(
        self, conditions: Mapping[str, tuple[Tensor, bool]], clip: Float[Tensor, "c t"]
    ) -> dict[str, Tensor]:
        versions = {name: audio for name, (audio, _) in conditions.items()}
        for name, (audio, mixed) in conditions.items():
            if mixed:
                length = min(audio.shape[-1], clip.shape[-1])
                versions[f"{name}_mix"] = audio[..., :length] + clip[..., :length]
        return versions


@dataclass(frozen=True)
class InpaintingDemos:
    """Items of the data with random gaps, and what the model puts there.

    Attributes:
        model: The model, in eval mode.
        demo: What to show.
        sampler: The solver; None for the one that suits the model's objective.
        seed: Decides the noise.
        masks: Which gaps.
        dtype: In which the model computes.
    """

    model: ConditionedDiffusionModel
    demo: InpaintDemo
    sampler: Sampler | None
    seed: int
    masks: MaskConfig
    dtype: torch.dtype

    def make(self, batches: Iterable[Batch], *, rng: Random) -> Iterator[AudioDemo]:
        """The first items of the data at every guidance scale.

        Args:
            batches: The data.
            rng: Draws the gaps.
        """
        left = self.demo.num_demos
        for batch in batches:
            encoded = encode(self.model, batch, dtype=self.dtype)
            encoded = Encoded(encoded.latents[:left], encoded.mask[:left])
            metadata = batch.metadata[:left]
            left -= len(metadata)
            signals = draw_gaps(encoded, self.masks, rng=rng)
            conditioning = self.model.condition(metadata, signals=signals)
            yield from self._filled(encoded, conditioning, signals[INPAINT_SIGNAL])
            if left <= 0:
                return

    def _filled(
        self, encoded: Encoded, conditioning: Conditioning, rest: Float[Tensor, "b d l"]
    ) -> Iterator[AudioDemo]:
        original, masked = (self.model.to_audio(x).float().cpu() for x in (encoded.latents, rest))
        for scale in self.demo.demo_cfg_scales:
            made = self._sampled(conditioning, shape=tuple(rest.shape), scale=scale)
            for clips in zip(original, masked, made, strict=True):
                yield AudioDemo(
                    name=f"cfg_{scale:g}",
                    audio=dict(zip(("original", "masked", "filled"), clips, strict=True)),
                    sample_rate=self.model.sample_rate,
                )

    def _sampled(
        self, conditioning: Conditioning, *, shape: tuple[int, ...], scale: float
    ) -> Float[Tensor, "b c t"]:
        model, usual = self.model, Inference()
        device = next(model.model.parameters()).device
        noise, generator = starting_noise(shape, seed=self.seed, device=device)
        guided = model.guided(conditioning, Guidance(scale, usual.scale_phi, usual.cfg_interval))
        latents = sample(
            Solver(
                self.sampler or model.objective.sampler,
                steps=self.demo.demo_steps,
                sigma_min=usual.sigma_min,
                sigma_max=usual.sigma_max,
                rho=usual.rho,
            ),
            guided_only(guided),
            Start(noise, None, 1.0),
            objective=model.objective,
            shift=model.distribution_shift,
            guided_fn=guided,
            generator=generator,
        )
        return model.to_audio(latents).float().cpu()


def choose_demos(
    model: ConditionedDiffusionModel,
    training: DiffusionCondTraining | DiffusionInpaintTraining,
    *,
    sampler: Sampler | None,
    seed: int,
    sample_size: int,
    dtype: torch.dtype,
) -> ConditionedDemos | InpaintingDemos | None:
    """What a training block wants shown of a model; None for nothing.

    Args:
        model: The model, in eval mode.
        training: The block.
        sampler: The solver; None for the one that suits the model's objective.
        seed: Decides the noise.
        sample_size: Samples of a clip.
        dtype: In which the model computes.
    """
    if isinstance(training.demo, DiffusionCondDemo):
        return ConditionedDemos(model, training.demo, sampler, seed, sample_size)
    if training.demo is None:
        return None
    return InpaintingDemos(
        model, training.demo, sampler, seed, training.gaps or MaskConfig(), dtype
    )
