"""The diffusion model: a backbone, on audio or on what a pretransform makes of it."""

from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.diffusion import DiffusionUncondNode
from sat_config.audio.experiment import DiffusionUncondExperiment
from sat_models.backbones.base import Backbone, build_backbone
from sat_models.build import build_model
from sat_models.models.objectives import Objective
from sat_models.pretransforms.base import Pretransform, build_pretransform


class DiffusionModel(nn.Module):
    """An unconditional diffusion model.

    "Latents" are what the backbone works on: without a pretransform, that is the audio itself.

    Attributes:
        model: The backbone.
        pretransform: Audio to latents and back.
        objective: What the backbone predicts.
        io_channels: Channels of the latents.
        sample_rate: Hz of the audio.
        hop_length: Samples of audio per latent frame; patches of the backbone do not count.
        frame_multiple: The number of latent frames must be a multiple of this.
    """

    def __init__(
        self, model: Backbone, *, pretransform: Pretransform | None, sample_rate: int
    ) -> None:
        super().__init__()
        self.model = model
        self.pretransform = pretransform
        self.objective: Objective = model.objective
        self.io_channels = model.io_channels
        self.sample_rate = sample_rate
        self.hop_length = 1 if pretransform is None else pretransform.hop_length
        self.frame_multiple = model.frame_multiple

    def forward(self, x: Float[Tensor, "b d l"], t: Float[Tensor, " b"]) -> Float[Tensor, "b d l"]:
        """Predict from noisy latents.

        Args:
            x: Latents with noise.
            t: How much noise, in [0, 1]; 1 is noise alone.

        Raises:
            ValueError: The latents have another number of axes or channels, or of frames that is
                no multiple of `frame_multiple`.
        """
        if x.ndim != 3 or x.shape[1] != self.io_channels:
            raise ValueError(
                f"expected latents of shape (batch, {self.io_channels}, frames), got"
                f" {tuple(x.shape)}"
            )
        prediction: Tensor = self.model(x, t)
        return prediction

    def to_latents(self, audio: Float[Tensor, "b c t"]) -> Float[Tensor, "b d l"]:
        """Turn audio into latents; without a pretransform, they are the same."""
        return audio if self.pretransform is None else self.pretransform.encode(audio)

    def to_audio(self, latents: Float[Tensor, "b d l"]) -> Float[Tensor, "b c t"]:
        """Turn latents into audio; without a pretransform, they are the same."""
        return latents if self.pretransform is None else self.pretransform.decode(latents)


def build_diffusion(node: DiffusionUncondNode, *, sample_rate: int) -> DiffusionModel:
    """Build an unconditional diffusion model, with fresh weights.

    Args:
        node: The model, as it stands under `model`.
        sample_rate: Hz of the audio.

    Raises:
        MissingBuilderError: Nothing installed builds one of its parts.
    """
    pretransform = None
    if node.pretransform is not None:
        pretransform = build_pretransform(node.pretransform, sample_rate=sample_rate)
    return DiffusionModel(build_backbone(node), pretransform=pretransform, sample_rate=sample_rate)


@build_model.register
def _(experiment: DiffusionUncondExperiment) -> DiffusionModel:
    return build_diffusion(experiment.model, sample_rate=experiment.sample_rate)
