"""Training of conditional diffusion models, those that fill gaps included."""

from collections.abc import Iterable, Iterator

from torch import Tensor, nn

from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.training import (
    ConditionalTraining,
    DiffusionCondTraining,
    DiffusionInpaintTraining,
)
from sat_models.data.batch import Batch
from sat_models.models.conditioned_diffusion import ConditionedDiffusionModel
from sat_models.models.timesteps import build_timestep_sampler
from sat_train.audio.demo import AudioDemo
from sat_train.methods.arc import build_arc
from sat_train.methods.base import build_method
from sat_train.methods.denoising import DenoisingMethod, TrainingTimes
from sat_train.methods.diffusion_demos import choose_demos
from sat_train.methods.dropout import without_some
from sat_train.methods.gaps import draw_gaps
from sat_train.methods.latent import Encoded, LatentMethod, Task, check_frames
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
        signals = draw_gaps(encoded, block.gaps, rng=self.rng)
        conditioning = model.condition(batch.metadata, signals=signals)

        def predict(x: Tensor, t: Tensor) -> Tensor:
            share = block.cfg_dropout_prob if training else 0.0
            given = without_some(conditioning, share=share, like=x)
            predicted: Tensor = model(x, t, given, padding_mask=mask)
            return predicted

        return Task(predict, counted=mask)

    @property
    def model(self) -> ConditionedDiffusionModel:
        """The model."""
        assert isinstance(self.diffusion, ConditionedDiffusionModel)
        return self.diffusion

    def demos(self, batches: Iterable[Batch]) -> Iterator[AudioDemo]:
        """Clips that the average generates from given conditions, or gaps that it fills."""
        shown = choose_demos(
            self.model,
            self.training_block,
            sampler=None,
            seed=self.settings.seed,
            sample_size=self.demo_samples,
            dtype=self.number_format,
        )
        if shown is not None:
            with self.averaged():
                yield from shown.make(batches, rng=self.rng)

    def _heeds_padding(self, *, training: bool) -> bool:
        block = self.training_block
        if not block.mask_padding or not training:
            return block.mask_padding
        return self.rng.random() > block.mask_padding_dropout


@build_method.register(DiffusionCondTraining)
@build_method.register(DiffusionInpaintTraining)
def _build(
    training: ConditionalTraining, *, model: nn.Module, experiment: AudioExperiment
) -> LatentMethod:
    assert isinstance(model, ConditionedDiffusionModel)
    assert isinstance(training, DiffusionCondTraining | DiffusionInpaintTraining)
    keys = ("model.diffusion.config",)
    check_frames(model, sample_size=experiment.sample_size, keys=keys)
    if training.arc is not None:
        return build_arc(training, arc=training.arc, model=model, experiment=experiment)
    return ConditionedMethod(
        model,
        training=training,
        settings=StepSettings.of(experiment),
        demo_samples=experiment.sample_size,
    )
