"""The moving average of a model's weights, which samples better than the weights themselves."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


@dataclass(frozen=True)
class Averaging:
    """How an average follows the weights.

    It starts as a copy; `n` steps after the last copy an update keeps `min(decay, 1 - (1 + n) **
    -power)` of the average, so it becomes slower as training goes on. The constants are those of
    stable-audio-tools.

    Attributes:
        decay: Share of the average that an update keeps in the long run.
        power: How fast it gets there; higher is slower.
        every: Steps between updates.
        after: Steps in which it stays a copy.
    """

    decay: float
    power: float
    every: int
    after: int


USUAL = Averaging(decay=0.9999, power=3 / 4, every=1, after=1)
LANGUAGE_MODEL = Averaging(decay=0.99, power=2 / 3, every=10, after=100)


class WeightAverage(nn.Module):
    """An exponential moving average of a model's weights and buffers.

    State is stored as the package ema-pytorch names it (`step`, `initted`, `ema_model.*`), so that
    stable-audio-tools finds the average in our checkpoints. Deviations from there: the model itself
    is not stored a second time; an update follows the step it belongs to, not the next one; numbers
    that are no floats are copied; the average is float32 even where the weights are not, because
    in half precision it would stand still.

    Args:
        model: What is averaged.
        averaging: How.

    Attributes:
        ema_model: A frozen copy of the model with averaged weights, in evaluation mode.
    """

    step: Tensor
    initted: Tensor

    def __init__(self, model: nn.Module, averaging: Averaging) -> None:
        super().__init__()
        self.averaging = averaging
        self.ema_model = copy.deepcopy(model).requires_grad_(False).eval()
        self.register_buffer("step", torch.tensor([0]))
        self.register_buffer("initted", torch.tensor([0.0]))

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Follow the model, whose weights have just changed."""
        averaging, step = self.averaging, int(self.step)
        self.step += 1
        if step % averaging.every:
            return
        fresh = step <= averaging.after or not self.initted
        self.initted.fill_(float(step > averaging.after))
        self._move(model, keep=0.0 if fresh else self._share(step - averaging.after))

    def in_format(self, dtype: torch.dtype) -> nn.Module:
        """The averaged model, to be used beside parts that compute in another number format."""
        if all(weight.dtype == dtype for weight in self.ema_model.parameters()):
            return self.ema_model
        return copy.deepcopy(self.ema_model).to(dtype)

    def train(self, mode: bool = True) -> "WeightAverage":
        """Set the mode of this module; the copy stays in evaluation mode."""
        self.training = mode
        return self

    def _share(self, updates: int) -> float:
        warmth: float = 1 - (1 + updates) ** -self.averaging.power
        return min(self.averaging.decay, warmth)

    def _move(self, model: nn.Module, *, keep: float) -> None:
        pairs = list(zip(_tensors(self.ema_model), _tensors(model), strict=True))
        floats = [
            (old, new.to(old.dtype)) for old, new in pairs if keep and old.is_floating_point()
        ]
        if floats:
            average = get_ema_multi_avg_fn(keep)  # type: ignore[no-untyped-call]
            average(*zip(*floats, strict=True), None)
        for old, new in pairs:
            if not keep or not old.is_floating_point():
                old.copy_(new)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "WeightAverage":
        """Follow the model to its device, but not to its number format."""
        for change in (fn, _to_float32):
            super()._apply(change, recurse)  # type: ignore[no-untyped-call]
        return self


def _to_float32(x: Tensor) -> Tensor:
    return x.float() if x.is_floating_point() else x


def _tensors(model: nn.Module) -> list[Tensor]:
    """All weights and buffers; the order is that of the modules."""
    return [*model.parameters(), *model.buffers()]
