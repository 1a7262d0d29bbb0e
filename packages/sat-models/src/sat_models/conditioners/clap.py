"""Conditioners of text and of audio through CLAP (Wu et al. 2023, 2211.06687)."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol, cast

import torch
import torchaudio.functional
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sat_config.audio.conditioner import ClapAudioNode, ClapConfig, ClapTextNode
from sat_models.checkpoint import open_checkpoint, resolve_checkpoint
from sat_models.conditioners.base import (
    Condition,
    Conditioner,
    Hidden,
    ReadAudio,
    build_conditioner,
    file_name,
    make_projection,
    project,
)
from sat_models.conditioners.hub import without_network
from sat_models.errors import CheckpointError, ConditionError
from sat_models.extras import import_extra
from sat_models.pretransforms.base import Pretransform

CLAP_SAMPLE_RATE = 48_000
BRANCHES = ("text_branch", "audio_branch")
TEXT = "model.text_branch"
FROM_THE_HUB = ("roberta-base", "bert-base-uncased", "facebook/bart-base")


class Clap(Protocol):
    """What of laion_clap's module is used."""

    def tokenizer(self, texts: Sequence[object]) -> Mapping[str, Tensor]:
        """Texts to tokens and their mask."""

    def get_text_embedding(self, texts: Sequence[object], *, use_tensor: bool) -> Tensor:
        """One embedding per text; at least two texts."""

    def get_audio_embedding_from_data(self, audio: Tensor, *, use_tensor: bool) -> Tensor:
        """One embedding per waveform of 48 kHz."""


class _ClapConditioner(Conditioner):
    """What both conditioners share: a CLAP model, in the state dict only if it is trained."""

    def __init__(
        self, output_dim: int, *, clap: nn.Module, width: int, trained: bool, project_out: bool
    ) -> None:
        super().__init__()
        self.output_dim = output_dim
        self.hidden: Hidden | None = None
        if trained:
            self.model = clap
        else:
            self.hidden = Hidden(clap.eval().requires_grad_(False))
        self.proj_out = make_projection(width, output_dim, always=project_out)

    def module(self, device: torch.device | str) -> nn.Module:
        """The CLAP model, where it is needed."""
        return self.model if self.hidden is None else self.hidden.on(device)

    def gradients(self) -> torch.set_grad_enabled:
        """The context of everything that the CLAP model does."""
        return torch.set_grad_enabled(self.hidden is None and torch.is_grad_enabled())


class ClapTextConditioner(_ClapConditioner):
    """CLAP's embedding of a text, or the features of its tokens in one layer."""

    def __init__(
        self,
        output_dim: int,
        *,
        clap: nn.Module,
        width: int,
        trained: bool,
        project_out: bool,
        layer: int | None,
    ) -> None:
        """Take a CLAP model in.

        Args:
            output_dim: Width of the embeddings.
            clap: laion_clap's module, whose audio half is not used.
            width: Width of what it gives.
            trained: Whether it is trained.
            project_out: Learn a projection even where widths agree.
            layer: Layer whose features to take, counted as in a list; None for the embedding of the
                text.
        """
        super().__init__(
            output_dim, clap=clap, width=width, trained=trained, project_out=project_out
        )
        self.layer = layer

    def forward(self, values: Sequence[object], *, device: torch.device | str) -> Condition:
        """Embed texts.

        Raises:
            ConditionError: A value is no text.
        """
        for value in values:
            if not isinstance(value, str):
                raise ConditionError(f"expected a text, got {value!r}")
        # CLAP drops the axis of a batch of one.
        texts = [*values, ""] if len(values) == 1 else list(values)
        with self.gradients():
            embeddings, mask = self._embed(texts, device)
        projected = project(self.proj_out, embeddings[: len(values)])
        return Condition(projected, mask[: len(values)])

    def _embed(
        self, texts: list[object], device: torch.device | str
    ) -> tuple[Float[Tensor, "b k e"], Bool[Tensor, "b k"]]:
        module = self.module(device)
        clap = cast(Clap, module)
        if self.layer is None:
            pooled = clap.get_text_embedding(texts, use_tensor=True).to(device)
            return pooled[:, None], torch.ones(len(texts), 1, dtype=torch.bool, device=device)
        tokens = {name: part.to(device) for name, part in clap.tokenizer(texts).items()}
        encode = cast(Callable[..., Mapping[str, Sequence[Tensor]]], module.get_submodule(TEXT))
        features = encode(
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
            output_hidden_states=True,
        )["hidden_states"][self.layer]
        return features, tokens["attention_mask"].bool()


class ClapAudioConditioner(_ClapConditioner):
    """CLAP's embedding of a waveform, which is mixed to mono.

    Deviations from SAT, whose own cannot be built: audio is brought to CLAP's 48 kHz.
    """

    def __init__(
        self,
        output_dim: int,
        *,
        clap: nn.Module,
        width: int,
        trained: bool,
        project_out: bool,
        sample_rate: int,
    ) -> None:
        """Take a CLAP model in.

        Args:
            output_dim: Width of the embeddings.
            clap: laion_clap's module, whose text half is not used.
            width: Width of what it gives.
            trained: Whether it is trained.
            project_out: Learn a projection even where widths agree.
            sample_rate: Hz of the waveforms.
        """
        super().__init__(
            output_dim, clap=clap, width=width, trained=trained, project_out=project_out
        )
        self.sample_rate = sample_rate

    def with_audio(self, value: object, *, read: ReadAudio) -> object:
        """The audio of a file."""
        return read(file_name(value), 1, 1)

    def forward(self, values: Sequence[object], *, device: torch.device | str) -> Condition:
        """Embed waveforms of one length, each with channels and samples.

        Raises:
            ConditionError: A value is no waveform, or their lengths differ.
        """
        mono = [_mono(value) for value in values]
        if len({len(wave) for wave in mono}) > 1:
            raise ConditionError("the waveforms of a batch must be equally long")
        audio = torch.stack(mono).to(device)
        audio = torchaudio.functional.resample(audio, self.sample_rate, CLAP_SAMPLE_RATE)
        with self.gradients(), torch.autocast(audio.device.type, enabled=False):
            clap = cast(Clap, self.module(device))
            embeddings = clap.get_audio_embedding_from_data(audio, use_tensor=True)
        embeddings = project(self.proj_out, embeddings.to(device))[:, None]
        mask = torch.ones(len(mono), 1, dtype=torch.bool, device=embeddings.device)
        return Condition(embeddings, mask)


def _mono(value: object) -> Float[Tensor, " t"]:
    if not isinstance(value, Tensor) or value.ndim != 2:
        raise ConditionError("expected a waveform with channels and samples")
    return value.float().mean(0)


def load_clap(
    config: ClapConfig, *, purpose: str, branch: Literal["text_branch", "audio_branch"]
) -> nn.Module:
    """A CLAP model with the weights of a file, and one of its two halves.

    Tokenizers, and a RoBERTa to put the weights into, are laion_clap's own business: it takes them
    from the cache of the Hugging Face hub.

    Args:
        config: Which model.
        purpose: What needs it, for messages.
        branch: The half that stays.

    Raises:
        MissingExtraError: laion_clap is not installed.
        CheckpointError: The file cannot be read, or lacks weights of that half.
        ConditionError: What laion_clap takes from the cache is not there.
    """
    clap = _empty_clap(config, purpose=purpose)
    inner = clap.get_submodule("model")
    for other in BRANCHES:
        if other != branch:
            delattr(inner, other)
    path = resolve_checkpoint(config.clap_ckpt_path)
    tensors = open_checkpoint(path).state_dict
    weights = {name.removeprefix("module."): value for name, value in tensors.items()}
    missing = [
        name
        for name in inner.load_state_dict(weights, strict=False).missing_keys
        if name.startswith(branch)
    ]
    if missing:
        raise CheckpointError(
            f"{path} does not fit a CLAP model with audio_model_type {config.audio_model_type!r}"
            f" and enable_fusion {config.enable_fusion}: it lacks {len(missing)} weights, the first"
            f" is {missing[0]}"
        )
    return clap


def _empty_clap(config: ClapConfig, *, purpose: str) -> nn.Module:
    with without_network(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of laion_clap's old dependencies
        try:
            laion_clap = import_extra("laion_clap", extra="clap", purpose=purpose)
            clap: nn.Module = laion_clap.CLAP_Module(
                enable_fusion=config.enable_fusion, amodel=config.audio_model_type, device="cpu"
            )
        except OSError as error:  # of transformers, when laion_clap is imported or used
            raise ConditionError(
                f"{purpose} needs what laion_clap takes from the cache of the Hugging Face hub, and"
                " it is not there; fetch it once with: "
                + " && ".join(f"hf download {name}" for name in FROM_THE_HUB)
            ) from error
    return clap


@build_conditioner.register
def _(
    node: ClapTextNode, *, cond_dim: int, sample_rate: int, pretransform: Pretransform | None
) -> ClapTextConditioner:
    config = node.config
    purpose = f"the text conditioner {node.id!r}"
    return ClapTextConditioner(
        node.width(cond_dim),
        clap=load_clap(config, purpose=purpose, branch="text_branch"),
        width=config.encoder_width,
        trained=config.finetune,
        project_out=config.project_out,
        layer=config.feature_layer_ix if config.use_text_features else None,
    )


@build_conditioner.register
def _(
    node: ClapAudioNode, *, cond_dim: int, sample_rate: int, pretransform: Pretransform | None
) -> ClapAudioConditioner:
    config = node.config
    purpose = f"the audio conditioner {node.id!r}"
    return ClapAudioConditioner(
        node.width(cond_dim),
        clap=load_clap(config, purpose=purpose, branch="audio_branch"),
        width=config.encoder_width,
        trained=config.finetune,
        project_out=config.project_out,
        sample_rate=sample_rate,
    )
