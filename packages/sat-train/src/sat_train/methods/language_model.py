"""Training of language models of codes."""

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.inference import Inference
from sat_config.audio.training import LMTraining
from sat_models.data.batch import AudioBatch, Batch, CodeBatch
from sat_models.generation import generate
from sat_models.language.codes import code_losses
from sat_models.models.language_model import AudioLanguageModel
from sat_train.audio.demo import AudioDemo
from sat_train.ema import LANGUAGE_MODEL, WeightAverage
from sat_train.methods.base import AudioMethod, build_method
from sat_train.methods.dropout import without_some
from sat_train.methods.latent import per_frame
from sat_train.steps import Losses, Part, StepSettings

WITHOUT_CONDITION = 0.1
"""Share of items that are trained without their conditions, which SAT's files cannot set."""

DEMO_TOP_P = 0.95


class LanguageModelMethod(AudioMethod):
    """Cross entropy of codes, each guessed from those before it, averaged over the codebooks.

    The pretransform, which makes the codes, is frozen. Demos show the weights themselves, as SAT's
    do, even where an average is kept.

    Args:
        model: The model; its state is stored under `model.`, its average under `model_ema.`.
        training: The training block.
        settings: How steps are taken.
        demo_samples: Samples of a demo's clips.
    """

    headline = "val/loss"

    def __init__(
        self,
        model: AudioLanguageModel,
        *,
        training: LMTraining,
        settings: StepSettings,
        demo_samples: int,
    ) -> None:
        super().__init__(
            settings=settings,
            demo_every=training.demo.demo_every,
            optimizers={"lm": training.optimizers.lm},
        )
        self.model = model
        self.model_ema = WeightAverage(model, LANGUAGE_MODEL) if training.use_ema else None
        self.demo = training.demo
        self.demo_samples = demo_samples

    @property
    def parts(self) -> tuple[Part, ...]:
        """The network and its conditioners."""
        return (Part("lm", (self.model,)),)

    def losses(self, batch: Batch, part: Part) -> Losses:
        """The mean cross entropy; that of each codebook, and perplexities, for the record."""
        by_codebook = self.cross_entropies(batch, training=True)
        loss = by_codebook.mean()
        plain = by_codebook.detach()
        figures = {"perplexity": loss.detach().exp()}
        for number, value in enumerate(plain.unbind(), start=1):
            figures[f"cross_entropy_q{number}"] = value
            figures[f"perplexity_q{number}"] = value.exp()
        return Losses({"cross_entropy": loss}, figures)

    def cross_entropies(self, batch: Batch, *, training: bool) -> Float[Tensor, " q"]:
        """The cross entropy of each codebook over the frames that are no padding."""
        codes = self.codes(batch)
        conditioning = self.model.condition(batch.metadata)
        if training and conditioning.can_be_dropped:
            conditioning = without_some(conditioning, share=WITHOUT_CONDITION, like=codes)
        mask = per_frame(batch.padding_mask.bool(), codes.shape[-1])
        return code_losses(self.model(codes, conditioning), codes, padding_mask=mask)

    def codes(self, batch: Batch) -> Int[Tensor, "b q l"]:
        """The codes of a batch, which audio becomes here."""
        if isinstance(batch, AudioBatch):
            return self.model.to_codes(batch.audio.to(self.number_format))
        assert isinstance(batch, CodeBatch)
        return batch.codes.long()

    def after_step(self, part: Part) -> None:
        """Let the average follow."""
        if self.model_ema is not None:
            self.model_ema.update(self.model)

    def validate(self, batches: Iterable[Batch]) -> dict[str, float]:
        """Mean cross entropy over all items, all conditions kept, and its perplexity."""
        total, count = torch.zeros((), dtype=torch.float64), 0
        for batch in batches:
            loss = self.cross_entropies(batch, training=False).mean()
            total += len(batch.items) * loss.double().cpu()
            count += len(batch.items)
        mean = total / count
        return {"val/loss": float(mean), "val/perplexity": float(mean.exp())}

    def demos(self, batches: Iterable[Batch]) -> Iterator[AudioDemo]:
        """Clips generated at every guidance scale, with the same draws at every demo."""
        for scale in self.demo.demo_cfg_scales:
            wanted = Inference(
                num_samples=self.demo.num_demos,
                seed=self.settings.seed,
                cfg_scale=scale,
                conditioning=self.demo.demo_cond or (),
                temperature=1.0,
                top_k=0,
                top_p=DEMO_TOP_P,
            )
            made = generate(self.model, wanted, sample_size=self.demo_samples)
            for clip in made.audio:
                yield AudioDemo(
                    name=f"cfg_{scale:g}",
                    audio={"generated": clip.cpu()},
                    sample_rate=made.sample_rate,
                )


@build_method.register
def _build(
    training: LMTraining, *, model: nn.Module, experiment: AudioExperiment
) -> LanguageModelMethod:
    assert isinstance(model, AudioLanguageModel)
    return LanguageModelMethod(
        model,
        training=training,
        settings=StepSettings.of(experiment),
        demo_samples=experiment.sample_size,
    )
