"""Adversarial post-training of diffusion models, after which a few steps of sampling suffice."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sat_config.audio.arc import ARC
from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.optimizer import OptimizerGroup
from sat_config.audio.training import (
    DiffusionCondTraining,
    DiffusionInpaintTraining,
    DiffusionOptimizers,
)
from sat_config.errors import UserError
from sat_models.backbones.conditioning import Conditioning
from sat_models.backbones.dit import ConditionedDiT
from sat_models.build import build_model
from sat_models.checkpoint import load_weights, open_checkpoint
from sat_models.conditioners.base import Metadata
from sat_models.data.batch import Batch
from sat_models.discriminators.arc import ARCHead, build_arc_head
from sat_models.models.conditioned_diffusion import ConditionedDiffusionModel
from sat_models.models.objectives import StraightPath
from sat_models.models.timesteps import TimestepSampler, build_noise_distribution
from sat_train.audio.demo import AudioDemo
from sat_train.methods.critic import Critic, relativistic_loss
from sat_train.methods.denoising import single_precision
from sat_train.methods.diffusion_demos import choose_demos
from sat_train.methods.dropout import without_some
from sat_train.methods.gaps import draw_gaps
from sat_train.methods.latent import Encoded, LatentMethod, Task, encode
from sat_train.methods.trajectory import Trajectory, follow
from sat_train.steps import Losses, Part, StepSettings

SHORTEST_TRIM = 128
"""Frames that are always kept of a batch that is cut."""

PROMPT = "prompt"
"""The condition that is moved to another item to teach which prompts fit."""


@dataclass(frozen=True)
class Players:
    """Who takes part besides the model.

    Attributes:
        critic: The discriminator.
        teacher: Whom the warmup follows; None without one.
    """

    critic: Critic
    teacher: ConditionedDiffusionModel | None


@dataclass(frozen=True)
class Pair:
    """Data and what the model makes of it, with the same noise on both.

    Attributes:
        real: The data.
        fake: What the model makes of the data with noise.
        t: How much noise there is on both, from 0 to 1.
        signals: What networks are told of gaps.
    """

    real: Float[Tensor, "b d l"]
    fake: Float[Tensor, "b d l"]
    t: Float[Tensor, " b"]
    signals: Mapping[str, Tensor]


class ARCMethod(LatentMethod):
    """Adversarial relativistic-contrastive post-training (Novack et al. 2025, 2505.08175).

    The model learns to denoise in one step. Steps alternate: in its own, what it makes of noisy
    data ought to score as high as the data; in the discriminator's, the data ought to score higher,
    and with a contrastive loss also higher than under the prompt of another item. Before that, a
    warmup may have the model learn from the way that a teacher samples. Validation is that of
    denoising.

    Deviations from SAT: even times are independent (see `build_noise_distribution`); the last
    item's wrong prompt is the first's (there the second's, by a slip); a batch is cut to whole
    patches that the head can take, and its mask with it; discriminator and teacher are kept without
    pretransform; the average follows the step it belongs to. With a `refresh_rate` above 1, a run
    that goes on in the middle of a warmup has the teacher sample at once, not when it would have.

    Args:
        diffusion: The model.
        training: The training block.
        arc: Its table of that name.
        players: Discriminator and teacher; their state is stored under `discriminator.`,
            `discriminator_head.` and `teacher_model.`.
        settings: How steps are taken.
        demo_samples: Samples of a demo's clips.
    """

    def __init__(
        self,
        diffusion: ConditionedDiffusionModel,
        *,
        training: DiffusionCondTraining | DiffusionInpaintTraining,
        arc: ARC,
        players: Players,
        settings: StepSettings,
        demo_samples: int,
    ) -> None:
        super().__init__(
            diffusion,
            settings=settings,
            demo_every=training.demo.demo_every if training.demo else 0,
            demo_samples=demo_samples,
            optimizers=_optimizers(training.optimizers),
            use_ema=training.use_ema,
        )
        self.training_block, self.arc, self.critic = training, arc, players.critic
        self.discriminator = players.critic.network
        self.discriminator_head = players.critic.head
        self.teacher_model = players.teacher
        self.generator_times = build_noise_distribution(arc.noise_dist.generator)
        self.discriminator_times = build_noise_distribution(arc.noise_dist.discriminator)
        self._trajectory: Trajectory | None = None

    @property
    def model(self) -> ConditionedDiffusionModel:
        """The model."""
        assert isinstance(self.diffusion, ConditionedDiffusionModel)
        return self.diffusion

    @property
    def parts(self) -> tuple[Part, ...]:
        """The model, and the discriminator with the network that it looks into."""
        return (
            Part("diffusion", (self.diffusion,)),
            Part("discriminator", (self.discriminator_head, self.discriminator)),
        )

    def networks(self) -> Sequence[nn.Module]:
        """The model and the head; of the network in between only a part is run."""
        return (self.diffusion, self.discriminator_head)

    def turn(self, step: int) -> int:
        """Odd steps are the discriminator's, once the warmup is over."""
        return 0 if self._warming(step) else step % 2

    def losses(self, batch: Batch, part: Part) -> Losses:
        """What the model, or the discriminator, minimises."""
        encoded = encode(self.diffusion, batch, dtype=self.number_format)
        if part.name == "discriminator":
            return self._discriminator_losses(batch, self._trimmed(encoded))
        if self._warming(self.global_step):
            return self._warmup_losses(batch, encoded)
        return self._generator_losses(batch, self._trimmed(encoded))

    # ------------------------------------------------------------------------------- warmup

    def _warming(self, step: int) -> bool:
        return self.arc.ode_warmup is not None and step < self.arc.ode_warmup.warmup_steps

    def _warmup_losses(self, batch: Batch, encoded: Encoded) -> Losses:
        """How far from the end of the teacher's way the model gets, from a place on it."""
        way = self._way(batch, encoded)
        point = way.draw()
        conditioning = self.model.condition(way.metadata, signals=way.signals)
        made = self._denoise(point.x, point.t, self._with_dropout(conditioning, like=point.x))
        return Losses({"ode_mse": functional.mse_loss(made.float(), way.target.float())})

    def _way(self, batch: Batch, encoded: Encoded) -> Trajectory:
        warmup = self.arc.ode_warmup
        assert warmup is not None
        assert self.teacher_model is not None  # a rule has seen to it
        if self._trajectory is None or self.global_step % warmup.refresh_rate == 0:
            noise = torch.randn_like(encoded.latents)
            signals = draw_gaps(encoded, self.training_block.gaps, rng=self.rng)
            self._trajectory = follow(
                self.teacher_model, noise, metadata=batch.metadata, signals=signals, warmup=warmup
            )
        return self._trajectory

    # -------------------------------------------------------------------------- both players

    def _generator_losses(self, batch: Batch, encoded: Encoded) -> Losses:
        pair = self._pair(batch, encoded, trained=True)
        conditioning = self.discriminator.condition(batch.metadata, signals=pair.signals)
        fake = self.critic.scores(pair.fake, pair.t, conditioning)
        real = self.critic.scores(pair.real, pair.t, conditioning)
        loss = self.arc.discriminator.weights.generator * relativistic_loss(fake, real)
        figures = {"data_std": encoded.latents.std(), **_spread("generator", fake)}
        return Losses({"adversarial": loss}, figures)

    def _discriminator_losses(self, batch: Batch, encoded: Encoded) -> Losses:
        head, critic = self.arc.discriminator, self.critic
        with torch.no_grad():
            pair = self._pair(batch, encoded, trained=False)
        conditioning = self.discriminator.condition(batch.metadata, signals=pair.signals)
        real = critic.scores(pair.real, pair.t, conditioning)
        fake = critic.scores(pair.fake, pair.t, conditioning)
        terms = {"recognition": head.weights.discriminator * relativistic_loss(real, fake)}
        if head.include_grad_penalties:
            r1 = critic.unsteadiness(real, pair.real, pair.t, conditioning)
            r2 = critic.unsteadiness(fake, pair.fake, pair.t, conditioning)
            terms["penalty"] = (r1 + r2) / 2
        if head.contrastive:
            wrong = self._with_wrong_prompts(batch, pair)
            unfit = relativistic_loss(real, critic.scores(pair.real, pair.t, wrong))
            terms["contrastive"] = head.weights.discriminator * head.weights.contrastive * unfit
        return Losses(terms, {**_spread("real", real), **_spread("fake", fake)})

    def _with_wrong_prompts(self, batch: Batch, pair: Pair) -> Conditioning:
        conditioner = self.discriminator.conditioner
        assert conditioner is not None  # a rule has seen to it
        metadata = with_next_prompt(
            batch.metadata, default=conditioner.default_keys.get(PROMPT, PROMPT)
        )
        return self.discriminator.condition(metadata, signals=pair.signals)

    def _pair(self, batch: Batch, encoded: Encoded, *, trained: bool) -> Pair:
        """What the model makes of a batch, with noise on it, and the batch with the same noise."""
        latents = encoded.latents
        signals = draw_gaps(encoded, self.training_block.gaps, rng=self.rng)
        conditioning = self.model.condition(batch.metadata, signals=signals)
        t = _draw(self.generator_times, like=latents)
        x, _ = self.model.objective.training_pair(latents, torch.randn_like(latents), t)
        given = self._with_dropout(conditioning, like=x) if trained else conditioning
        made = self._denoise(x, t, given)
        t = _draw(self.discriminator_times, like=latents)
        noise = torch.randn_like(made)
        path = self.discriminator.objective
        real, _ = path.training_pair(latents, noise, t)
        fake, _ = path.training_pair(made, noise, t)
        return Pair(real, fake, t, signals)

    def _denoise(self, x: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        return self.model.objective.denoised(x, self.model(x, t, conditioning), t)

    def _with_dropout(self, conditioning: Conditioning, *, like: Tensor) -> Conditioning:
        return without_some(conditioning, share=self.training_block.cfg_dropout_prob, like=like)

    def _trimmed(self, encoded: Encoded) -> Encoded:
        """A batch, now and then cut to the length of one of its items."""
        trim = self.training_block.trim_config
        if trim is None or self.rng.random() >= trim.trim_prob:
            return encoded
        multiple = self.diffusion.frame_multiple
        chosen = self.rng.choice(encoded.mask.sum(1).tolist())
        frames = max(chosen, SHORTEST_TRIM, _shortest(self.critic))
        frames = multiple * math.ceil(frames / multiple)
        return Encoded(encoded.latents[..., :frames], encoded.mask[:, :frames])

    # --------------------------------------------------------------------- validation and demos

    def task(self, batch: Batch, encoded: Encoded, *, training: bool) -> Task:
        """Prediction under all conditions; every frame counts."""
        signals = draw_gaps(encoded, self.training_block.gaps, rng=self.rng)
        conditioning = self.model.condition(batch.metadata, signals=signals)
        return Task(lambda x, t: self.model(x, t, conditioning), counted=None)

    def demos(self, batches: Iterable[Batch]) -> Iterator[AudioDemo]:
        """Clips that the average makes by denoising, laying less noise on, and again."""
        shown = choose_demos(
            self.model,
            self.training_block,
            sampler="pingpong",
            seed=self.settings.seed,
            sample_size=self.demo_samples,
            dtype=self.number_format,
        )
        if shown is not None:
            with self.averaged():
                yield from shown.make(batches, rng=self.rng)


def with_next_prompt(metadata: Sequence[Metadata], *, default: str) -> list[Metadata]:
    """Each item with the prompt of the next, the last one with that of the first.

    Args:
        metadata: Of a batch.
        default: Under which key the prompt is where none is called that.
    """
    prompts = [item[PROMPT if PROMPT in item else default] for item in metadata]
    following = [*prompts[1:], *prompts[:1]]
    return [{**item, PROMPT: prompt} for item, prompt in zip(metadata, following, strict=True)]


def build_arc(
    training: DiffusionCondTraining | DiffusionInpaintTraining,
    *,
    arc: ARC,
    model: ConditionedDiffusionModel,
    experiment: AudioExperiment,
) -> ARCMethod:
    """Build the method, discriminator and teacher included.

    Args:
        training: The training block.
        arc: Its table of that name.
        model: The model.
        experiment: The whole experiment.

    Raises:
        CheckpointError: Weights of discriminator or teacher cannot be read or do not fit.
        UserError: A network is of another kind than the method needs, or crops are too short.
    """
    players = Players(_critic(arc, experiment), _teacher(arc, experiment))
    for key, network in (("model", model), ("training.arc.teacher_model", players.teacher)):
        if network is not None and not isinstance(network.objective, StraightPath):
            raise UserError(
                f"{key} predicts {network.objective.description}, but training.arc is for straight"
                " paths: set diffusion_objective to 'rf_denoiser'"
            )
    least = _shortest(players.critic) * model.hop_length
    if experiment.sample_size < least:
        raise UserError(
            f"sample_size is {experiment.sample_size}, but training.arc.discriminator needs crops"
            f" of at least {least} samples: raise sample_size, or take fewer or smaller strides"
        )
    return ARCMethod(
        model,
        training=training,
        arc=arc,
        players=players,
        settings=StepSettings.of(experiment, max_norm=training.clip_grad_norm),
        demo_samples=experiment.sample_size,
    )


def _critic(arc: ARC, experiment: AudioExperiment) -> Critic:
    network = _network(
        arc.discriminator_base_model or experiment, arc.discriminator_base_ckpt, key="discriminator"
    )
    backbone = network.model
    if not isinstance(backbone, ConditionedDiT):
        raise UserError("training.arc.discriminator looks into a diffusion transformer: take one")
    head = build_arc_head(
        arc.discriminator, in_channels=backbone.model.transformer.project_out.in_features
    )
    return Critic(network, head, arc.discriminator.dit_hidden_layer)


def _teacher(arc: ARC, experiment: AudioExperiment) -> ConditionedDiffusionModel | None:
    if arc.ode_warmup is None or not arc.ode_warmup.warmup_steps:
        return None
    document = arc.teacher_model or experiment
    return _network(document, arc.teacher_model_ckpt, key="teacher").requires_grad_(False).eval()


def _network(
    document: AudioExperiment, checkpoint: str | None, *, key: str
) -> ConditionedDiffusionModel:
    """A network without its pretransform, which latents need no more."""
    network = build_model(document)
    if not isinstance(network, ConditionedDiffusionModel):
        raise UserError(f"training.arc: the {key} must be a conditional diffusion model")
    if checkpoint is not None:
        load_weights(network, open_checkpoint(checkpoint))
    network.pretransform = None
    return network


def _shortest(critic: Critic) -> int:
    """Frames of the shortest signal that can be scored."""
    assert isinstance(critic.head, ARCHead)
    return critic.head.min_tokens * critic.network.frame_multiple


def _optimizers(configured: DiffusionOptimizers) -> dict[str, OptimizerGroup]:
    if configured.discriminator is None:
        raise UserError("training.arc needs optimizer_configs.discriminator")
    return {"diffusion": configured.diffusion, "discriminator": configured.discriminator}


def _draw(times: TimestepSampler, *, like: Tensor) -> Float[Tensor, " b"]:
    with single_precision():
        return times.draw(like.shape[0], device=like.device)


def _spread(name: str, scores: Tensor) -> dict[str, Tensor]:
    scores = scores.detach()
    return {f"{name}_score": scores.mean(), f"{name}_score_std": scores.std()}
