"""A language model of audio: it continues the codes of a discrete pretransform."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sat_config.audio.experiment import LMExperiment
from sat_config.audio.lm import LMModelConfig
from sat_models.backbones.conditioning import NO_CONDITIONING, Conditioning
from sat_models.build import build_model
from sat_models.conditioners.base import Metadata
from sat_models.conditioners.multi import MultiConditioner, build_conditioners
from sat_models.conditioners.routes import Routes, routes_of
from sat_models.language.backbone import build_lm_backbone
from sat_models.language.build_patterns import build_pattern
from sat_models.language.codes import CodeLanguageModel, CodeLogits
from sat_models.pretransforms.base import Pretransform, build_pretransform


class AudioLanguageModel(nn.Module):
    """Audio to codes, a model of the codes, and codes to audio.

    Attributes:
        pretransform: Audio to codes and back; always frozen.
        lm: The model of the codes.
        conditioner: Metadata to embeddings; None if nothing steers the model.
        routes: Which condition goes which way into the model.
        sample_rate: Hz of the audio.
        hop_length: Samples of audio per frame of codes.
    """

    def __init__(
        self,
        pretransform: Pretransform,
        *,
        lm: CodeLanguageModel,
        conditioner: MultiConditioner | None,
        routes: Routes,
        sample_rate: int,
    ) -> None:
        super().__init__()
        self.pretransform = pretransform.requires_grad_(False).eval()
        self.lm, self.conditioner, self.routes = lm, conditioner, routes
        self.sample_rate, self.hop_length = sample_rate, pretransform.hop_length

    def forward(self, codes: Int[Tensor, "b q l"], conditioning: Conditioning) -> CodeLogits:
        """What the model thinks of codes, each from those before it.

        Args:
            codes: The codes.
            conditioning: What steers the model, from `condition`.
        """
        return self.lm.code_logits(codes, conditioning)

    def condition(self, metadata: Sequence[Metadata]) -> Conditioning:
        """Turn what is known of a batch into what steers the model.

        Args:
            metadata: One mapping per item, with what the conditioners want under their ids.

        Raises:
            ConditionError: An item lacks something, or a conditioner cannot read it.
        """
        if self.conditioner is None:
            return NO_CONDITIONING
        device = next(self.lm.parameters()).device
        return self.routes.lead(self.conditioner(metadata, device=device))

    @torch.no_grad()
    def to_codes(self, audio: Float[Tensor, "b c t"]) -> Int[Tensor, "b q l"]:
        """Turn audio into codes, without gradients."""
        return self.pretransform.encode_tokens(audio)

    @torch.no_grad()
    def to_audio(self, codes: Int[Tensor, "b q l"]) -> Float[Tensor, "b c t"]:
        """Turn codes into audio, without gradients."""
        return self.pretransform.decode_tokens(codes)

    def train(self, mode: bool = True) -> "AudioLanguageModel":
        """Follow the mode that is asked for, but for the pretransform."""
        super().train(mode)
        self.pretransform.eval()
        return self


def build_language_model(config: LMModelConfig, *, sample_rate: int) -> AudioLanguageModel:
    """Build a language model.

    Its own weights are fresh; those of pretrained text encoders and the like are loaded.

    Args:
        config: The model, as it stands under `model`.
        sample_rate: Hz of the audio.

    Raises:
        ValueError: The pretransform has no codes, or the network would look ahead.
        MissingBuilderError: Nothing installed builds one of its parts.
        MissingExtraError: An optional dependency of a conditioner is not installed.
    """
    pretransform = build_pretransform(config.pretransform, sample_rate=sample_rate)
    if pretransform.num_quantizers is None or pretransform.codebook_size is None:
        raise ValueError("a language model needs a pretransform with codes, this one has none")
    conditioner = None
    if config.conditioning is not None:
        conditioner = build_conditioners(
            config.conditioning, sample_rate=sample_rate, pretransform=pretransform
        )
    count = pretransform.num_quantizers
    lm = CodeLanguageModel(
        build_lm_backbone(config.lm),
        make_pattern=build_pattern(config.lm.pattern, num_codebooks=count),
        num_codebooks=count,
        codebook_size=pretransform.codebook_size,
    )
    return AudioLanguageModel(
        pretransform,
        lm=lm,
        conditioner=conditioner,
        routes=_usable_routes(config),
        sample_rate=sample_rate,
    )


def _usable_routes(config: LMModelConfig) -> Routes:
    """Without global conditions, which SAT collects and drops."""
    routes = routes_of(config.lm)
    return Routes(cross_attention=routes.cross_attention, prepend=routes.prepend)


@build_model.register
def _(experiment: LMExperiment) -> AudioLanguageModel:
    return build_language_model(experiment.model, sample_rate=experiment.sample_rate)
