"""Orders in which a language model predicts the codes of several codebooks.

Copet et al. 2023 (2306.05284) name them; the layouts are those of audiocraft (MIT licence), which
stable-audio-tools ships. A pattern lays the codes of `q` codebooks and `l` frames out over `s`
steps. The first step is empty: it holds the token that starts a sequence, and what the model puts
out at a step is its guess at the next.

Deviations: layouts are tables computed at once, not lists of coordinates; what cannot be laid out
raises `ValueError` instead of failing an assertion or a look-up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

EMPTY = -1
"""Stands in a table where a codebook has nothing at a step."""


@dataclass(frozen=True)
class CodebookPattern:
    """Where each code stands in the sequence.

    Attributes:
        frames: For each codebook and step the frame whose code stands there, or `EMPTY`; on CPU. A
            delayed pattern goes on beyond the last frame, with numbers from `num_frames`.
        num_frames: Frames of the codes, `l`.
    """

    frames: Int[Tensor, "q s"]
    num_frames: int

    def __post_init__(self) -> None:
        """Check the order.

        Raises:
            ValueError: A codebook's frames do not come in ascending order, each once.
        """
        latest = self.frames.cummax(1).values
        repeated = (self.frames[:, 1:] != EMPTY) & (self.frames[:, 1:] <= latest[:, :-1])
        if repeated.any():
            raise ValueError("the frames of every codebook must come in order, and none twice")

    @property
    def num_codebooks(self) -> int:
        """Rows of the table."""
        return self.frames.shape[0]

    @property
    def num_steps(self) -> int:
        """Steps of the whole sequence, with the empty first one."""
        return self.frames.shape[1]

    @property
    def num_valid_steps(self) -> int:
        """Steps up to the one after which nothing new comes from the codebook that is ahead."""
        beyond = int(self.frames.max()) + 1 - self.num_frames
        return self.num_steps - beyond

    def first_step(self, frame: int) -> int | None:
        """The first step that holds a code of a frame; None if there is none."""
        steps = (self.frames == frame).any(0).nonzero()
        return int(steps[0]) if len(steps) else None

    def interleave(
        self, codes: Int[Tensor, "b q l"], *, special_token: int, valid_only: bool
    ) -> tuple[Int[Tensor, "b q s"], Bool[Tensor, "q s"]]:
        """Lay codes out.

        Args:
            codes: The codes; they may end before the pattern does.
            special_token: Stands where there is no code.
            valid_only: End at `num_valid_steps`.

        Returns:
            The sequence, and where it holds codes.

        Raises:
            ValueError: There are more frames than in the pattern, or other codebooks.
        """
        self._check(codes.shape[1], codes.shape[2], self.num_frames, "frames")
        length = codes.shape[2]
        frames = self.frames[:, : self.num_valid_steps] if valid_only else self.frames
        mask = (frames != EMPTY) & (frames < length)
        places = torch.where(mask, frames, length).to(codes.device)
        padded = functional.pad(codes, (0, 1), value=special_token)
        return padded.gather(2, places.expand(len(codes), -1, -1)), mask.to(codes.device)

    def restore(
        self, sequence: Int[Tensor, "b q s"], *, special_token: int, valid_only: bool
    ) -> tuple[Int[Tensor, "b q l"], Bool[Tensor, "q l"]]:
        """Undo `interleave`.

        Args:
            sequence: A sequence; it may end before the pattern does.
            special_token: Stands where the sequence has no code.
            valid_only: The sequence ends at `num_valid_steps`.

        Returns:
            The codes, and which of them the sequence held.

        Raises:
            ValueError: The sequence is longer than the pattern, or has other codebooks.
        """
        length = sequence.shape[2]
        steps = self._steps(sequence.shape[1], length, shift=0, valid_only=valid_only)
        steps = steps.to(sequence.device)
        padded = functional.pad(sequence, (0, 1), value=special_token)
        return padded.gather(2, steps.expand(len(sequence), -1, -1)), steps < length

    def restore_logits(
        self, logits: Float[Tensor, "b v q s"], *, fill: float, valid_only: bool
    ) -> tuple[Float[Tensor, "b v q l"], Bool[Tensor, "q l"]]:
        """Sort a model's guesses by the frames that they are about.

        Args:
            logits: What the model put out at each step about the next one, for `v` tokens.
            fill: Stands where there is no guess.
            valid_only: The sequence ends at `num_valid_steps`.

        Returns:
            The guesses, and which of them there are.

        Raises:
            ValueError: The sequence is longer than the pattern, or has other codebooks.
        """
        length = logits.shape[3]
        steps = self._steps(logits.shape[2], length, shift=1, valid_only=valid_only)
        steps = steps.to(logits.device)
        padded = functional.pad(logits, (0, 1), value=fill)
        return padded.gather(3, steps.expand(*logits.shape[:2], -1, -1)), steps < length

    def _steps(
        self, num_codebooks: int, num_steps: int, *, shift: int, valid_only: bool
    ) -> Int[Tensor, "q l"]:
        """For each codebook and frame its step, less `shift`, or `num_steps` where it has none."""
        limit = self.num_valid_steps if valid_only else self.num_steps
        self._check(num_codebooks, num_steps, limit, "steps")
        frames = self.frames[:, shift:limit][:, :num_steps]
        # Codes outside the signal go to one column more, which is cut off.
        inside = (frames != EMPTY) & (frames < self.num_frames)
        places = torch.where(inside, frames, self.num_frames)
        steps = torch.full((len(frames), self.num_frames + 1), num_steps)
        numbers = torch.arange(frames.shape[1]).expand_as(frames)
        return steps.scatter(1, places, numbers)[:, :-1]

    def _check(self, num_codebooks: int, length: int, limit: int, unit: str) -> None:
        if num_codebooks != self.num_codebooks or length > limit:
            raise ValueError(
                f"the pattern has {self.num_codebooks} codebooks and {limit} {unit}; got"
                f" {num_codebooks} and {length}"
            )


def parallel_pattern(num_codebooks: int, num_frames: int, *, empty_initial: int) -> CodebookPattern:
    """All codes of a frame at one step, after `empty_initial` further empty ones."""
    return delay_pattern(
        num_codebooks,
        num_frames,
        delays=[0] * num_codebooks,
        flatten_first=0,
        empty_initial=empty_initial,
    )


def delay_pattern(
    num_codebooks: int,
    num_frames: int,
    *,
    delays: Sequence[int] | None,
    flatten_first: int,
    empty_initial: int,
) -> CodebookPattern:
    """Each codebook some steps late.

    Args:
        num_codebooks: Rows.
        num_frames: Frames.
        delays: How late each codebook is, ascending; one more than the one before if None.
        flatten_first: Frames at the start whose codes stand one after the other.
        empty_initial: Empty steps after the first.

    Raises:
        ValueError: The delays do not ascend, or are not one per codebook.
    """
    late = _ascending("delays", delays, default=range(num_codebooks), count=num_codebooks)
    head = _one_by_one(num_codebooks, torch.arange(min(num_frames, flatten_first)))
    end = max(flatten_first, num_frames + max(late))
    tail = torch.arange(flatten_first, end) - torch.tensor(late)[:, None]
    tail = torch.where(tail < flatten_first, EMPTY, tail)
    return _pattern([_empty(num_codebooks, empty_initial), head, tail], num_frames)


def unroll_pattern(
    num_codebooks: int,
    num_frames: int,
    *,
    flattening: Sequence[int] | None,
    delays: Sequence[int] | None,
) -> CodebookPattern:
    """Several steps per frame.

    Args:
        num_codebooks: Rows.
        num_frames: Frames.
        flattening: Step within a frame at which each codebook stands, ascending; one by one if
            None. A step that no codebook has stays empty.
        delays: Frames that each codebook is late, ascending; 0 if None.

    Raises:
        ValueError: One of the two does not ascend, or is not one per codebook, or differs in delay
            between codebooks of one step.
    """
    inner = _ascending("flattening", flattening, default=range(num_codebooks), count=num_codebooks)
    late = _ascending("delays", delays, default=[0] * num_codebooks, count=num_codebooks)
    by_step: dict[int, int] = {}
    for step, delay in zip(inner, late, strict=True):
        if by_step.setdefault(step, delay) != delay:
            raise ValueError(
                f"codebooks at one step need one delay; flattening is {list(inner)} and delays"
                f" {list(late)}"
            )
    step_count, end = max(inner) + 1, num_frames + max(late)
    # All (frame, step) pairs, ordered by when they come; at one time empty steps come first, then
    # earlier frames, then lower codebooks.
    frame = torch.arange(end).repeat_interleave(step_count)
    place = torch.arange(step_count).repeat(end)
    used = torch.tensor([index in by_step for index in range(step_count)])[place]
    time = frame + torch.tensor([by_step.get(index, 0) for index in range(step_count)])[place]
    rank = torch.where(used, frame * step_count + place + 1, 0)
    order = torch.argsort(time * (end * step_count + 1) + rank, stable=True)
    order = order[time[order] < end]
    here = place[order] == torch.tensor(list(inner))[:, None]  # q s
    return _pattern([torch.where(here, frame[order], EMPTY)], num_frames)


def coarse_first_pattern(
    num_codebooks: int, num_frames: int, *, delays: Sequence[int] | None
) -> CodebookPattern:
    """The first codebook to its end, then all others together.

    Args:
        num_codebooks: Rows.
        num_frames: Frames.
        delays: Steps that each codebook but the first is late, ascending; 0 if None.

    Raises:
        ValueError: The delays do not ascend, or are not one per codebook but the first.
    """
    others = num_codebooks - 1
    late = _ascending("delays", delays, default=[0] * others, count=others)
    coarse = torch.full((num_codebooks, num_frames), EMPTY)
    coarse[0] = torch.arange(num_frames)
    if not others:
        return _pattern([coarse], num_frames)
    fine = torch.arange(num_frames + max(late)) - torch.tensor(late)[:, None]
    fine = functional.pad(fine.clamp(min=EMPTY), (0, 0, 1, 0), value=EMPTY)
    return _pattern([coarse, fine], num_frames)


def musiclm_pattern(num_codebooks: int, num_frames: int, *, group_by: int) -> CodebookPattern:
    """Code after code, group of codebooks after group (after Agostinelli et al. 2023, 2301.11325).

    Args:
        num_codebooks: Rows.
        num_frames: Frames.
        group_by: Codebooks of a group.

    Raises:
        ValueError: The groups do not come out even.
    """
    if num_codebooks % group_by:
        raise ValueError(f"groups of {group_by} do not divide {num_codebooks} codebooks evenly")
    group = _one_by_one(group_by, torch.arange(num_frames))
    parts = [
        functional.pad(group, (0, 0, above, num_codebooks - group_by - above), value=EMPTY)
        for above in range(0, num_codebooks, group_by)
    ]
    return _pattern(parts, num_frames)


def _pattern(parts: Sequence[Tensor], num_frames: int) -> CodebookPattern:
    """The pattern of tables one after the other, behind the first step."""
    frames = torch.cat([_empty(parts[0].shape[0], 1), *parts], dim=1)
    return CodebookPattern(frames, num_frames)


def _empty(num_codebooks: int, num_steps: int) -> Int[Tensor, "q s"]:
    return torch.full((num_codebooks, num_steps), EMPTY)


def _one_by_one(num_codebooks: int, frames: Int[Tensor, " l"]) -> Int[Tensor, "q s"]:
    """Frame after frame, and within each codebook after codebook."""
    own = torch.eye(num_codebooks, dtype=torch.bool).repeat(1, len(frames))
    return torch.where(own, frames.repeat_interleave(num_codebooks), EMPTY)


def _ascending(
    name: str, values: Sequence[int] | None, *, default: Sequence[int], count: int
) -> Sequence[int]:
    if values is None:
        return default
    if len(values) != count or sorted(values) != list(values):
        raise ValueError(f"{name} must be {count} ascending numbers; got {list(values)}")
    return values
