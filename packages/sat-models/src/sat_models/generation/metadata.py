"""What conditions say of each clip, from the `[inference]` table."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from sat_config.hints import nearest
from sat_models.audio import read_audio
from sat_models.conditioners.base import Conditioner
from sat_models.conditioners.multi import MultiConditioner
from sat_models.errors import AudioError, ConditionError, GenerationError
from sat_models.prepare import fit_length

Entry = Mapping[str, Any]

START, TOTAL = "seconds_start", "seconds_total"
"""Conditions by which SAT's models know the place and the length of a clip."""


@dataclass(frozen=True)
class Wanted:
    """What a model wants to know of a clip.

    Attributes:
        conditioner: That of the model; None if it wants to know nothing.
        num_samples: Length of a clip. `seconds_total` is that, and `seconds_start` is 0, unless an
            entry says otherwise.
        sample_rate: Hz of the model's audio.
    """

    conditioner: MultiConditioner | None
    num_samples: int
    sample_rate: int

    def of_clips(self, entries: Sequence[Entry], *, count: int) -> list[Entry]:
        """One entry per clip, with everything in it, and audio in the place of files' names.

        Of a file, it is the beginning, as long as the clip, and silence if the file is shorter: as
        training shows it.

        Args:
            entries: One for all clips, one for each, or none.
            count: Clips.

        Raises:
            GenerationError: There are more or fewer entries, or one names what is no condition, or
                lacks one, or has what cannot be read.
        """
        given = self._checked(entries or ({},), count=count, key="conditioning")
        complete: list[Entry] = [{**self._known(), **entry} for entry in given]
        for entry in complete:
            self._require(entry)
        return [self._with_audio(entry, "conditioning") for entry in complete]

    def away_from(self, entries: Sequence[Entry], positive: Sequence[Entry]) -> list[Entry]:
        """One negative entry per clip; what it does not say, it takes from the positive one.

        Raises:
            GenerationError: As of `of_clips`.
        """
        given = self._checked(entries, count=len(positive), key="negative_conditioning")
        return [
            {**own, **self._with_audio(entry, "negative_conditioning")}
            for own, entry in zip(positive, given, strict=True)
        ]

    def _with_audio(self, entry: Entry, key: str) -> Entry:
        if self.conditioner is None:
            return entry
        read: dict[str, object] = {}
        for name, conditioner in self.conditioner.conditioners.items():
            source = name if name in entry else self.conditioner.default_keys.get(name, name)
            if source not in entry or name in self.conditioner.pre_encoded_keys:
                continue
            assert isinstance(conditioner, Conditioner)  # noqa: S101 - it holds no others
            try:
                read[name] = conditioner.with_audio(entry[source], read=self._read)
            except (AudioError, ConditionError) as error:
                raise GenerationError(f"inference.{key}, {source!r}: {error}") from error
        return {**entry, **read}

    def _read(self, path: str, channels: int, multiple: int) -> Float[Tensor, "c t"]:
        audio = read_audio(
            path,
            start=0,
            num_samples=self.num_samples,
            sample_rate=self.sample_rate,
            channels=channels,
        )
        return fit_length(audio, num_samples=math.ceil(self.num_samples / multiple) * multiple)

    def _checked(self, entries: Sequence[Entry], *, count: int, key: str) -> list[Entry]:
        if len(entries) not in (1, count):
            raise GenerationError(
                f"inference.{key} has {len(entries)} entries for {count} clips: give one for all of"
                f" them, or set inference.num_samples to {len(entries)}"
            )
        for entry in entries:
            self._check(entry, key)
        return list(entries) * (count // len(entries))

    def _names(self) -> list[str]:
        return [] if self.conditioner is None else list(self.conditioner.conditioners)

    def _known(self) -> Entry:
        told = {START: 0, TOTAL: self.num_samples / self.sample_rate}
        return {name: value for name, value in told.items() if name in self._names()}

    def _check(self, entry: Entry, key: str) -> None:
        fallbacks = [] if self.conditioner is None else self.conditioner.default_keys.values()
        names = [*self._names(), *fallbacks]
        for name in entry:
            if name not in names:
                near = nearest(name, names)
                hint = f"; did you mean {near!r}?" if near else ""
                raise GenerationError(
                    f"inference.{key} has {name!r}, which is no condition of this model;"
                    f" it knows {', '.join(map(repr, names)) or 'none'}{hint}"
                )

    def _require(self, entry: Entry) -> None:
        if self.conditioner is None:
            return
        for name in self._names():
            if name not in entry and self.conditioner.default_keys.get(name) not in entry:
                raise GenerationError(
                    f"the model wants to know {name!r} of a clip, and inference.conditioning does"
                    f" not say: conditioning = [{{ {name} = ... }}]"
                )
