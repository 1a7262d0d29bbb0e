"""Training of conditional diffusion models, those that fill gaps included."""

from collections.abc import Iterable, Iterator, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.demo import DiffusionCondDemo, InpaintDemo
from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.inpainting import MaskConfig
from sat_config.audio.training import (
    ConditionalTraining,
    DiffusionCondTraining,
    DiffusionInpaintTraining,
)
from sat_models.backbones.conditioning import Conditioning
from sat_models.data.batch import Batch
from sat_models.models.conditioned_diffusion import ConditionedDiffusionModel
from sat_models.models.timesteps import build_timestep_sampler
from sat_models.support import UnsupportedError
from sat_train.audio.demo import AudioDemo
from sat_train.methods.base import build_method
from sat_train.methods.denoising import (
    DenoisingMethod,
    Encoded,
    Task,
    TrainingTimes,
    check_frames,
)
from sat_train.methods.diffusion_demos import ConditionedDemos, InpaintingDemos
from sat_train.methods.gaps import draw_gaps
from sat_train.steps import StepSettings


class ConditionedMethod(DenoisingMethod):
    """Denoising with conditions, which guidance needs left out at times.

    The order of draws is SAT's. Deviations from it: an item loses all its conditions or none (see
    `Conditioning.dropped`); with `mask_padding`, a transformer does not attend to padding either,
    which it may after SAT; models that fill gaps are validated with masks like any others.

    Args:
        diffusion: The model.
        training: The training block.
        settings: How steps are taken.
        demo_samples: Samples of a demo's clips.
    """

    def __init__(
        self,
        diffusion: ConditionedDiffusionModel,
        *,
        training: DiffusionCondTraining | DiffusionInpaintTraining,
        settings: StepSettings,
        demo_samples: int,
    ) -> None:
        sampler = build_timestep_sampler(
            training.timestep_sampler, options=training.timestep_sampler_options
        )
        super().__init__(
            diffusion,
            settings=settings,
            demo_every=training.demo.demo_every if training.demo else 0,
            demo_samples=demo_samples,
            optimizer=training.optimizers.diffusion,
            times=TrainingTimes(
                sampler, shift=diffusion.distribution_shift, one_shot=training.p_one_shot
            ),
            use_ema=training.use_ema,
            by_noise=training.log_loss_info,
        )
        self.training_block = training

    def task(self, batch: Batch, encoded: Encoded, *, training: bool) -> Task:
        """Conditions and padding; some of both is left out by chance in training."""
        model, block = self.model, self.training_block
        mask = encoded.mask if self._heeds_padding(training=training) else None
        signals = self.gap_signals(encoded)
        conditioning = model.condition(batch.metadata, signals=signals)

        def predict(x: Tensor, t: Tensor) -> Tensor:
            given = conditioning
            if training and block.cfg_dropout_prob:
                given = without_some(conditioning, share=block.cfg_dropout_prob, like=x)
            predicted: Tensor = model(x, t, given, padding_mask=mask)
            return predicted

        return Task(predict, counted=mask)

    @property
    def model(self) -> ConditionedDiffusionModel:
        """The model."""
        assert isinstance(self.diffusion, ConditionedDiffusionModel)
        return self.diffusion

    def gap_signals(self, encoded: Encoded) -> Mapping[str, Float[Tensor, "b c l"]]:
        """What a model that fills gaps is told, with gaps drawn at random; nothing for others."""
        inpainting = self.training_block.inpainting
        if inpainting is None:
            return {}
        return draw_gaps(encoded, inpainting.mask_kwargs, rng=self.rng)

    def demos(self, batches: Iterable[Batch]) -> Iterator[AudioDemo]:
        """Clips that the average generates from given conditions, or gaps that it fills."""
        block, seed = self.training_block, self.settings.seed
        with self.averaged():
            if isinstance(block.demo, DiffusionCondDemo):
                shown = ConditionedDemos(self.model, block.demo, self.demo_samples, seed)
                yield from shown.make(batches)
            elif isinstance(block.demo, InpaintDemo):
                config = block.inpainting.mask_kwargs if block.inpainting else MaskConfig()
                filled = InpaintingDemos(self.model, block.demo, config, seed, self.number_format)
                yield from filled.make(batches, rng=self.rng)

    def _heeds_padding(self, *, training: bool) -> bool:
        block = self.training_block
        if not block.mask_padding or not training:
            return block.mask_padding
        return self.rng.random() > block.mask_padding_dropout


def without_some(
    conditioning: Conditioning, *, share: float, like: Float[Tensor, "b ..."]
) -> Conditioning:
    """Conditions of which a random share of the items is left out."""
    chance = torch.full((like.shape[0],), share, device=like.device)
    return conditioning.dropped(torch.bernoulli(chance).bool())


@build_method.register(DiffusionCondTraining)
@build_method.register(DiffusionInpaintTraining)
def _build(
    training: ConditionalTraining, *, model: nn.Module, experiment: AudioExperiment
) -> DenoisingMethod:
    assert isinstance(model, ConditionedDiffusionModel)
    assert isinstance(training, DiffusionCondTraining | DiffusionInpaintTraining)
    if training.arc is not None:
        raise UnsupportedError(
            "this version does not act on training.arc, the adversarial post-training: leave it out"
            " to train the model by denoising"
        )
    keys = ("model.diffusion.config",)
    check_frames(model, sample_size=experiment.sample_size, keys=keys)
    return ConditionedMethod(
        model,
        training=training,
        settings=StepSettings.of(experiment),
        demo_samples=experiment.sample_size,
    )
