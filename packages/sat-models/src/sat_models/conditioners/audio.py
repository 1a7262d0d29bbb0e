"""Conditioners of audio that a pretransform encodes: a second signal, or a mix of sources."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.conditioner import EncodedConfig, PretransformConditionerNode, SourceMixNode
from sat_models.checkpoint import load_weights, open_checkpoint, resolve_checkpoint
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
from sat_models.errors import ConditionError
from sat_models.prepare import mix_channels
from sat_models.pretransforms.base import Pretransform, build_pretransform


class _EncodingConditioner(Conditioner):
    """What both conditioners share: a pretransform, in the state dict only if that is wanted."""

    def __init__(self, output_dim: int, *, pretransform: Pretransform, saved: bool) -> None:
        super().__init__()
        self.output_dim = output_dim
        self.hidden: Hidden | None = None
        if saved:
            self.pretransform = pretransform
        else:
            self.hidden = Hidden(pretransform)

    def encode(
        self, audio: Float[Tensor, "b c t"], *, device: torch.device | str
    ) -> Float[Tensor, "b d l"]:
        """Latents of audio with any number of channels."""
        if self.hidden is not None:
            self.hidden.on(device)
        mixed = mix_channels(audio.to(device), channels=self._used.channels)
        return self._used.encode(mixed)

    def read_file(self, value: object, read: ReadAudio) -> Float[Tensor, "c t"]:
        """The audio of a file, as long as the pretransform wants it."""
        return read(file_name(value), self._used.channels, self._used.hop_length)

    @property
    def _used(self) -> Pretransform:
        used = self.pretransform if self.hidden is None else self.hidden.module
        assert isinstance(used, Pretransform)  # noqa: S101 - __init__ took nothing else
        return used


class PretransformConditioner(_EncodingConditioner):
    """The latents of a second signal.

    Deviation from SAT: latents of another width are projected along their channels, there along
    time, which fails.
    """

    def __init__(self, output_dim: int, *, pretransform: Pretransform, saved: bool) -> None:
        """Take a pretransform in.

        Args:
            output_dim: Channels of the result.
            pretransform: Encodes.
            saved: Whether its weights are in the state dict.
        """
        super().__init__(output_dim, pretransform=pretransform, saved=saved)
        self.proj_out = make_projection(pretransform.latent_dim, output_dim, always=False)

    def with_audio(self, value: object, *, read: ReadAudio) -> object:
        """The audio of a file."""
        return self.read_file(value, read)

    def forward(self, values: Sequence[object], *, device: torch.device | str) -> Condition:
        """Encode waveforms of one length, each with channels and samples.

        Raises:
            ConditionError: A value is no waveform, or their shapes differ.
        """
        latents = self.encode(_stacked(values), device=device)
        latents = project(self.proj_out, latents.mT).mT
        return Condition(latents, _all_frames(latents))


class SourceMixConditioner(_EncodingConditioner):
    """The sum of sources, each encoded and projected by a convolution of its own.

    Items may lack some of the sources, and where there is an embedding for that, all of them.
    SAT has a projection more that it does not use; it is here, frozen, for the names of weights.

    Deviation from SAT: the sources may be as wide as the result.
    """

    def __init__(
        self,
        output_dim: int,
        *,
        pretransform: Pretransform,
        saved: bool,
        source_keys: Sequence[str],
        pre_encoded: bool,
        null_frames: int | None,
    ) -> None:
        """Create the projections.

        Args:
            output_dim: Channels of the result.
            pretransform: Encodes the sources.
            saved: Whether its weights are in the state dict.
            source_keys: Names of the sources.
            pre_encoded: Sources are latents already.
            null_frames: Frames of a learned embedding for items without sources; None if there is
                none.
        """
        super().__init__(output_dim, pretransform=pretransform, saved=saved)
        width = pretransform.latent_dim
        self.source_keys, self.pre_encoded = tuple(source_keys), pre_encoded
        self.null_frames = null_frames
        self.proj_out = make_projection(width, output_dim, always=False).requires_grad_(False)
        self.source_heads = nn.ModuleList(nn.Conv1d(width, output_dim, 1) for _ in source_keys)
        if null_frames is not None:
            self.null_source = nn.Parameter(torch.randn(output_dim, 1))

    def with_audio(self, value: object, *, read: ReadAudio) -> object:
        """The audio of each source's file; a configuration cannot hold the latents of one."""
        sources = _table(value)
        unknown = [name for name in sources if name not in self.source_keys]
        if unknown:
            raise ConditionError(
                f"{', '.join(map(repr, unknown))} is no source; there are"
                f" {', '.join(map(repr, self.source_keys))}"
            )
        if self.pre_encoded and sources:
            raise ConditionError("the sources are latents (pre_encoded), which no file name gives")
        return {name: self.read_file(source, read) for name, source in sources.items()}

    def forward(self, values: Sequence[object], *, device: torch.device | str) -> Condition:
        """Mix sources: one mapping per item, from names to waveforms or latents.

        Raises:
            ConditionError: A value is no such mapping, an item lacks all sources where that is not
                foreseen, or the mixes have different lengths.
        """
        mixes = [self._mix(value, device) for value in values]
        if len({mix.shape for mix in mixes}) > 1:
            lengths = ", ".join(str(mix.shape[-1]) for mix in mixes)
            raise ConditionError(f"the mixes of a batch must be equally long, got {lengths} frames")
        mixed = torch.stack(mixes)
        return Condition(mixed, _all_frames(mixed))

    def _mix(self, value: object, device: torch.device | str) -> Float[Tensor, "c l"]:
        sources = _table(value)
        dtype = next(self.source_heads.parameters()).dtype
        parts: list[Tensor] = []
        for key, head in zip(self.source_keys, self.source_heads, strict=True):
            if key in sources:
                latents = self._latents(sources[key], device).to(dtype)
                parts.append(head(latents))
        if parts:
            return torch.stack(parts).sum(0)
        if self.null_frames is None:
            raise ConditionError(
                f"an item has none of the sources {', '.join(self.source_keys)}; set"
                " allow_null_source to learn an embedding for that"
            )
        return self.null_source.expand(-1, self.null_frames)

    def _latents(self, source: object, device: torch.device | str) -> Tensor:
        signal = _signal(source)
        if self.pre_encoded:
            return signal.to(device)
        return self.encode(signal[None], device=device)[0]


def _table(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ConditionError(f"expected a table of sources, got {type(value).__name__}")
    return value


def _signal(value: object) -> Float[Tensor, "c t"]:
    if not isinstance(value, Tensor) or value.ndim != 2:
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ConditionError(f"expected a signal with channels and samples, got {got}")
    return value


def _stacked(values: Sequence[object]) -> Float[Tensor, "b c t"]:
    signals = [_signal(value) for value in values]
    if len({signal.shape for signal in signals}) > 1:
        shapes = ", ".join(str(tuple(signal.shape)) for signal in signals)
        raise ConditionError(f"the signals of a batch must have one shape, got {shapes}")
    return torch.stack(signals)


def _all_frames(signal: Tensor) -> Tensor:
    return torch.ones(signal.shape[0], signal.shape[2], dtype=torch.bool, device=signal.device)


def _choose_pretransform(config: EncodedConfig, own: Pretransform | None) -> Pretransform:
    """The model's pretransform or one of the conditioner's own, with weights if a file is named."""
    if config.pretransform_config is not None:
        used = build_pretransform(config.pretransform_config, sample_rate=config.sample_rate)
    elif own is not None:
        used = own
    else:
        raise ConditionError("a conditioner is to use the model's pretransform, but there is none")
    if config.pretransform_ckpt_path is not None:
        path = resolve_checkpoint(config.pretransform_ckpt_path)
        load_weights(used, open_checkpoint(path))
    return used


@build_conditioner.register
def _(
    node: PretransformConditionerNode,
    *,
    cond_dim: int,
    sample_rate: int,
    pretransform: Pretransform | None,
) -> PretransformConditioner:
    return PretransformConditioner(
        node.width(cond_dim),
        pretransform=_choose_pretransform(node.config, pretransform),
        saved=node.config.save_pretransform,
    )


@build_conditioner.register
def _(
    node: SourceMixNode, *, cond_dim: int, sample_rate: int, pretransform: Pretransform | None
) -> SourceMixConditioner:
    config = node.config
    return SourceMixConditioner(
        node.width(cond_dim),
        pretransform=_choose_pretransform(config, pretransform),
        saved=config.save_pretransform,
        source_keys=config.source_keys,
        pre_encoded=config.pre_encoded,
        null_frames=config.source_length if config.allow_null_source else None,
    )
