"""Diffusion models that metadata steers, those that fill gaps included."""

from collections.abc import Mapping, Sequence

from jaxtyping import Bool, Float
from torch import Tensor, nn

from sat_config.audio.diffusion import INPAINT_MASK, INPAINT_SIGNAL, DiffusionCondConfig
from sat_config.audio.experiment import DiffusionCondExperiment, DiffusionInpaintExperiment
from sat_models.backbones.base import ConditionedBackbone, build_conditioned_backbone
from sat_models.backbones.conditioning import Conditioning
from sat_models.build import build_model
from sat_models.conditioners.base import Condition, Metadata
from sat_models.conditioners.multi import MultiConditioner, build_conditioners
from sat_models.conditioners.routes import Routes, routes_of
from sat_models.models.guidance import Guidance, guided
from sat_models.models.objectives import Objective
from sat_models.models.timesteps import DistributionShift, build_distribution_shift
from sat_models.pretransforms.base import Pretransform, build_pretransform
from sat_models.sampling.samplers import GuidedFn

NO_SIGNALS: Mapping[str, Tensor] = {}


class ConditionedDiffusionModel(nn.Module):
    """A diffusion model with conditioners.

    "Latents" are what the backbone works on: without a pretransform, that is the audio itself.

    Attributes:
        model: The backbone.
        conditioner: Metadata to embeddings; None if nothing but signals steers the model.
        pretransform: Audio to latents and back.
        routes: Which condition goes which way into the backbone.
        objective: What the backbone predicts.
        distribution_shift: How times depend on the length; None if they do not.
        io_channels: Channels of the latents.
        sample_rate: Hz of the audio.
        hop_length: Samples of audio per latent frame; patches of the backbone do not count.
        frame_multiple: The number of latent frames must be a multiple of this.
    """

    def __init__(
        self,
        model: ConditionedBackbone,
        *,
        conditioner: MultiConditioner | None,
        pretransform: Pretransform | None,
        routes: Routes,
        distribution_shift: DistributionShift | None,
        sample_rate: int,
    ) -> None:
        super().__init__()
        self.model, self.conditioner, self.pretransform = model, conditioner, pretransform
        self.routes, self.distribution_shift = routes, distribution_shift
        self.objective: Objective = model.objective
        self.io_channels = model.io_channels
        self.sample_rate = sample_rate
        self.hop_length = 1 if pretransform is None else pretransform.hop_length
        self.frame_multiple = model.frame_multiple

    def forward(
        self,
        x: Float[Tensor, "b d l"],
        t: Float[Tensor, " b"],
        conditioning: Conditioning,
        *,
        padding_mask: Bool[Tensor, "b l"] | None = None,
    ) -> Float[Tensor, "b d l"]:
        """Predict from noisy latents.

        Args:
            x: Latents with noise.
            t: How much noise, in [0, 1]; 1 is noise alone.
            conditioning: What steers the model, from `condition`.
            padding_mask: True for the frames that are no padding.

        Raises:
            ValueError: The latents have another number of axes or channels, or of frames that is
                no multiple of `frame_multiple`.
        """
        if x.ndim != 3 or x.shape[1] != self.io_channels:
            raise ValueError(
                f"expected latents of shape (batch, {self.io_channels}, frames), got"
                f" {tuple(x.shape)}"
            )
        prediction: Tensor = self.model(x, t, conditioning, padding_mask=padding_mask)
        return prediction

    def condition(
        self,
        metadata: Sequence[Metadata],
        *,
        signals: Mapping[str, Float[Tensor, "b c l"]] = NO_SIGNALS,
    ) -> Conditioning:
        """Turn what is known of a batch into what steers the model.

        Args:
            metadata: One mapping per item, with what the conditioners want under their ids.
            signals: Conditions that no conditioner makes, by their ids; see `inpainting_signals`.

        Raises:
            ConditionError: An item lacks something, or a conditioner cannot read it.
        """
        conditions = {name: Condition(signal, None) for name, signal in signals.items()}
        if self.conditioner is not None:
            device = next(self.model.parameters()).device
            conditions |= self.conditioner(metadata, device=device)
        return self.routes.lead(conditions)

    def guided(
        self,
        conditioning: Conditioning,
        guidance: Guidance,
        *,
        negative: Conditioning | None = None,
    ) -> GuidedFn:
        """The model with its conditions as samplers want it; see `models.guidance.guided`."""
        return guided(self, conditioning, guidance, objective=self.objective, negative=negative)

    def to_latents(self, audio: Float[Tensor, "b c t"]) -> Float[Tensor, "b d l"]:
        """Turn audio into latents; without a pretransform, they are the same."""
        return audio if self.pretransform is None else self.pretransform.encode(audio)

    def to_audio(self, latents: Float[Tensor, "b d l"]) -> Float[Tensor, "b c t"]:
        """Turn latents into audio; without a pretransform, they are the same."""
        return latents if self.pretransform is None else self.pretransform.decode(latents)


def inpainting_signals(
    latents: Float[Tensor, "b d l"], mask: Float[Tensor, "b 1 l"]
) -> dict[str, Tensor]:
    """The conditions of a model that fills gaps.

    Args:
        latents: Latents of what is there.
        mask: 1 keeps a frame, 0 has it generated.
    """
    return {INPAINT_MASK: mask, INPAINT_SIGNAL: latents * mask}


def build_conditioned_diffusion(
    config: DiffusionCondConfig, *, sample_rate: int
) -> ConditionedDiffusionModel:
    """Build a conditional diffusion model.

    Its own weights are fresh; those of pretrained text encoders and the like are loaded.

    Args:
        config: The model, as it stands under `model`.
        sample_rate: Hz of the audio.

    Raises:
        MissingBuilderError: Nothing installed builds one of its parts.
        MissingExtraError: An optional dependency of a conditioner is not installed.
    """
    pretransform = conditioner = shift = None
    if config.pretransform is not None:
        pretransform = build_pretransform(config.pretransform, sample_rate=sample_rate)
    if config.conditioning is not None:
        conditioner = build_conditioners(
            config.conditioning, sample_rate=sample_rate, pretransform=pretransform
        )
    if config.diffusion.distribution_shift_options is not None:
        shift = build_distribution_shift(config.diffusion.distribution_shift_options)
    return ConditionedDiffusionModel(
        build_conditioned_backbone(config.diffusion),
        conditioner=conditioner,
        pretransform=pretransform,
        routes=routes_of(config.diffusion),
        distribution_shift=shift,
        sample_rate=sample_rate,
    )


@build_model.register(DiffusionCondExperiment)
@build_model.register(DiffusionInpaintExperiment)
def _(
    experiment: DiffusionCondExperiment | DiffusionInpaintExperiment,
) -> ConditionedDiffusionModel:
    return build_conditioned_diffusion(experiment.model, sample_rate=experiment.sample_rate)
