"""What conditions say of each clip, from the `[inference]` table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sat_config.hints import nearest
from sat_models.conditioners.multi import MultiConditioner
from sat_models.errors import GenerationError

Entry = Mapping[str, Any]

START, TOTAL = "seconds_start", "seconds_total"
"""Conditions by which SAT's models know the place and the length of a clip."""


@dataclass(frozen=True)
class Wanted:
    """What a model wants to know of a clip.

    Attributes:
        conditioner: That of the model; None if it wants to know nothing.
        seconds: Length of a clip. `seconds_total` is that, and `seconds_start` is 0, unless an
            entry says otherwise.
    """

    conditioner: MultiConditioner | None
    seconds: float

    def of_clips(self, entries: Sequence[Entry], *, count: int) -> list[Entry]:
        """One entry per clip, with everything in it.

        Args:
            entries: One for all clips, one for each, or none.
            count: Clips.

        Raises:
            GenerationError: There are more or fewer entries, or one names what is no condition, or
                lacks one.
        """
        given = self._checked(entries or ({},), count=count, key="conditioning")
        complete: list[Entry] = [{**self._known(), **entry} for entry in given]
        for entry in complete:
            self._require(entry)
        return complete

    def away_from(self, entries: Sequence[Entry], positive: Sequence[Entry]) -> list[Entry]:
        """One negative entry per clip; what it does not say, it takes from the positive one.

        Raises:
            GenerationError: As of `of_clips`.
        """
        given = self._checked(entries, count=len(positive), key="negative_conditioning")
        return [{**own, **entry} for own, entry in zip(positive, given, strict=True)]

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
        told = {START: 0, TOTAL: self.seconds}
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
