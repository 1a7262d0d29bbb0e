"""Crops of audio files, wherever the files are kept."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from sat_config.audio.dataset import AudioNode
from sat_models.audio import AudioInfo, AudioLike, read_audio
from sat_models.data.batch import AudioBatch, BadItem, Item, Sample
from sat_models.data.custom import CustomModule
from sat_models.data.dataset import (
    DatasetRecord,
    Draw,
    ItemDataset,
    as_draw,
    fingerprint_of,
    item_draws,
    spoken_length,
)
from sat_models.data.order import Order
from sat_models.data.shaping import (
    normalize_loudness,
    peak_db,
    shorten_silences,
    sounding_length,
)
from sat_models.errors import AudioError, DataError

_TRAILING_SILENCE = 10 ** (-60 / 20)


@dataclass(frozen=True)
class Clip:
    """An audio file that is at hand.

    Attributes:
        audio: The file.
        info: Its length, rate and channels.
        metadata: What captions say of it.
    """

    audio: AudioLike
    info: AudioInfo
    metadata: Mapping[str, Any]


class AudioSource(ABC):
    """One audio file of a dataset, wherever it is kept.

    Attributes:
        dataset: Id of its entry in the configuration.
        root: Where the entry is.
        relpath: Its name within the entry, with forward slashes.
        info: Its length, rate and channels; None until it has been opened.
        size: Bytes.
        stamp: Changes when the file does.
        custom: The module that adds to its metadata.
    """

    dataset: str
    root: str
    relpath: str
    info: AudioInfo | None
    size: int
    stamp: str
    custom: CustomModule | None

    @property
    def id(self) -> str:
        """Names the file whichever machine holds it."""
        return f"{self.dataset}/{self.relpath}"

    @property
    @abstractmethod
    def path(self) -> str:
        """Where it is, for messages and metadata."""

    def has_changed(self) -> bool:
        """Whether it is no longer what was found; where a place cannot be asked, it has not."""
        return False

    @abstractmethod
    def open(self) -> Clip:
        """Get it.

        Raises:
            AudioError: It cannot be had, or is no audio.
        """


@dataclass(frozen=True)
class Form:
    """What every crop of a dataset looks like.

    Attributes:
        sample_rate: Hz.
        sample_size: Samples.
        channels: Channels.
    """

    sample_rate: int
    sample_size: int
    channels: int


@dataclass(frozen=True)
class _Crop:
    """A part of a file, before it is padded."""

    audio: Float[Tensor, "c t"]
    start: int
    length: int  # of the whole file, in samples


class AudioCrops(ItemDataset):
    """One crop per file and epoch, however long the file is.

    The crop lies at a random place, or at the start where `random_crop` is off; in training some
    are flipped in sign. A shorter file is padded with zeros.
    Unlike in SAT, no silent, broken or rejected file is replaced by another.
    """

    def __init__(
        self,
        sources: Sequence[AudioSource],
        *,
        node: AudioNode,
        form: Form,
        seed: int,
        training: bool,
        order: Order,
    ) -> None:
        """Describe the items.

        Args:
            sources: What to read.
            node: How crops are cut and treated.
            form: What they look like.
            seed: Decides crops, flips and loudness, with epoch and index.
            training: Whether crops may be flipped.
            order: In which order an epoch goes through them.
        """
        super().__init__(order)
        self.sources = tuple(sources)
        self.node = node
        self.form = form
        self._seed = seed
        self._phase_flip = node.phase_flip if training else 0.0

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def draws_crops(self) -> bool:
        """Whether crops lie at random places."""
        return self.node.random_crop

    def __getitem__(self, index: int | Draw) -> Sample | BadItem:
        """The crop of one file in one epoch."""
        draw = as_draw(index, length=len(self))
        source = self.sources[draw.index]
        place, flip, level = item_draws(self._seed, draw, count=3)
        start = None
        try:
            clip = source.open()
            whole = self._whole(clip)
            length = clip.info.length_at(self.form.sample_rate) if whole is None else whole.shape[1]
            start = self._start(length, place)
            wanted = min(self.form.sample_size, length - start)
            found = (
                self._read(clip, start, wanted) if whole is None else whole[:, start:][:, :wanted]
            )
            audio = self._treat(found, level)
            crop = _Crop(-audio if flip < self._phase_flip else audio, start, length)
            return self._sample(source, clip, crop)
        except (AudioError, DataError) as error:
            return BadItem(source.path, str(error), start)

    def stack(self, samples: Sequence[Sample]) -> AudioBatch:
        """The batch of some items."""
        return AudioBatch.stack(samples)

    def record(self) -> DatasetRecord:
        """What a run notes of the files."""
        known = [source.info for source in self.sources]
        seconds = [info.frames / info.sample_rate for info in known if info is not None]
        length = f", {spoken_length(sum(seconds))}" if len(seconds) == len(known) else ""
        roots = ", ".join(dict.fromkeys(source.root for source in self.sources))
        custom = {s.custom.path: s.custom.sha256 for s in self.sources if s.custom is not None}
        facts: list[tuple[str | int, ...]] = [(s.id, s.size) for s in self.sources]
        facts += [("custom", digest) for digest in custom.values()]
        return DatasetRecord(
            summary=f"{len(self)} file{'' if len(self) == 1 else 's'}{length}, in {roots}",
            items=len(self),
            fingerprint=fingerprint_of(facts),
            custom_code=custom,
        )

    def _start(self, length: int, place: float) -> int:
        choices = length - self.form.sample_size + 1
        return int(place * choices) if self.node.random_crop and choices > 1 else 0

    def _whole(self, clip: Clip) -> Float[Tensor, "c t"] | None:
        """The file without its silences; None where they are not looked for."""
        if not (self.node.remove_silence or self.node.strip_silence):
            return None
        audio = self._read(clip, 0, clip.info.length_at(self.form.sample_rate))
        if self.node.strip_silence:
            audio = audio[:, : sounding_length(audio, threshold=_TRAILING_SILENCE)]
        if self.node.remove_silence:
            threshold, kept = self.node.silence_threshold
            rate = self.form.sample_rate
            longest = int(self.node.max_silence_duration * rate)
            audio = shorten_silences(
                audio, threshold=threshold, longest=longest, kept=int(kept * rate)
            )
        if audio.shape[1] == 0:
            raise AudioError(f"{clip.audio}: is silent from beginning to end")
        return audio

    def _read(self, clip: Clip, start: int, count: int) -> Float[Tensor, "c t"]:
        form = self.form
        audio = read_audio(
            clip.audio,
            start=start,
            num_samples=count,
            sample_rate=form.sample_rate,
            channels=form.channels,
        )
        if (missing := count - audio.shape[1]) > 0:
            raise AudioError(
                f"{clip.audio}: ends {missing} samples before its header says: it has probably been"
                " cut short"
            )
        return audio

    def _treat(self, audio: Float[Tensor, "c t"], level: float) -> Float[Tensor, "c t"]:
        peak, lowest = peak_db(audio), self.node.silence_peak_db
        if peak < lowest:
            raise AudioError(f"is silent: the crop's peak is {peak:.1f} dB, below {lowest:g} dB")
        if not self.node.volume_norm:
            return audio
        target, spread = self.node.volume_norm_param
        target += (2 * level - 1) * spread
        return normalize_loudness(audio, target=target, sample_rate=self.form.sample_rate)

    def _sample(self, source: AudioSource, clip: Clip, crop: _Crop) -> Sample:
        size, rate, audio = self.form.sample_size, self.form.sample_rate, crop.audio
        values = functional.pad(audio, (0, size - audio.shape[1]))
        mask = torch.arange(size) < audio.shape[1]
        end = crop.start + audio.shape[1]
        seconds_start = float(crop.start // rate)
        seconds_total = float(math.ceil(crop.length / rate))
        metadata: dict[str, Any] = {
            **clip.metadata,
            "path": source.path,
            "relpath": source.relpath,
            "timestamps": (crop.start / crop.length, end / crop.length),
            "seconds_start": seconds_start,
            "seconds_total": seconds_total,
            "sample_rate": rate,
        }
        if source.custom is not None:
            found = source.custom.describe({**metadata, "padding_mask": mask}, values)
            metadata |= self._place(found, crop, path=source.custom.path)
        item = Item(source.id, source.path, crop.start, seconds_start, seconds_total, metadata)
        return Sample(values, mask, item)

    def _place(self, found: dict[str, Any], crop: _Crop, *, path: str) -> dict[str, Any]:
        """A custom module's metadata, with its further audio cut like the item's own."""
        if found.pop("__reject__", False):
            raise DataError(f"rejected by {path}")
        size, channels = self.form.sample_size, self.form.channels
        for key, audio in found.pop("__audio__", {}).items():
            if (
                not isinstance(audio, Tensor)
                or audio.ndim != 2
                or audio.shape[0] not in (1, channels)
            ):
                raise DataError(
                    f"{path}: __audio__[{key!r}] has to be a tensor of (channels, time)"
                )
            part = audio[:, crop.start : crop.start + size].expand(channels, -1).clamp(-1, 1)
            found[key] = functional.pad(part, (0, size - part.shape[1]))
        return found
