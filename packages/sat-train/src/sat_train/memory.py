"""How much memory a training step will take, found out without taking it.

The model is built once more of torch's fake tensors, which have a shape (on the meta device) and no
content, and takes a whole step: forward, backward and optimizer. Counting what is alive at each
moment gives the peak.
"""

import warnings
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from sat_config import Experiment
from sat_models.build import build_model
from sat_train.family import build_training
from sat_train.runtime import free_memory

GIGABYTE = 1e9
ZEROS = {"item": 0, "__int__": 0, "__float__": 0.0, "__bool__": False}
"""What a fake tensor answers to those of its methods that ask for a number."""


@dataclass(frozen=True)
class Estimate:
    """What a step takes.

    Attributes:
        weights: Bytes of weights and buffers.
        peak: Bytes at the step's fullest moment, weights included.
    """

    weights: int
    peak: int

    def verdict(self, device: torch.device) -> str:
        """In words, next to what the device has, of which the weights may be a part already."""
        text = f"about {self.peak / GIGABYTE:.2g} GB for a step"
        free = free_memory(device)
        if free is None:
            return text
        text = f"{text}, of {free / GIGABYTE:.3g} GB that are free"
        if self.peak <= free:
            return text
        return f"{text}: TOO LITTLE; lower batch_size or the length of the items"


class LiveMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that are made while it is in force, until they are gone.

    Attributes:
        current: Bytes alive.
        peak: The most that there were.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.current = self.peak = 0
        self._known: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - torch's signature
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Run an operation, and count what it returns."""
        result = func(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, Tensor):
                self.count(value)
        return result

    def count(self, tensor: Tensor) -> None:
        """Count a tensor's memory, unless that has been done."""
        storage = tensor.untyped_storage()
        if storage in self._known:
            return
        size = storage.nbytes()
        self._known[storage] = size
        self.current += size
        self.peak = max(self.peak, self.current)
        weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self.current -= size


class Shapes(FakeTensorMode):  # type: ignore[no-untyped-call]
    """Torch's mode of fake tensors, of which there is one however often its tensors are copied.

    A tensor names its mode, so copying a model (EMA does) would copy the mode as well; with it the
    weak references in its cache, each copy of which frees the same memory once more.
    """

    def __deepcopy__(self, memo: dict[int, object]) -> "Shapes":
        """The mode itself."""
        return self


class WithoutContents(TorchFunctionMode):
    """Lets be built and drawn what would look at numbers, of which fake tensors have none.

    A single number that is asked for is zero; Sobol sequences keep their shape.
    """

    def __torch_function__(
        self,
        func: Any,  # noqa: ANN401 - torch's signature
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Run a function, or stand in for one of those."""
        name = getattr(func, "__name__", "")
        if name in ZEROS and isinstance(args[0], FakeTensor):
            return ZEROS[name]
        if not name.startswith("_sobol_engine_"):
            return func(*args, **(kwargs or {}))
        if name != "_sobol_engine_draw":
            return args[0]
        state, count, _, dimension = args[:4]
        return state.new_empty((count, dimension), dtype=torch.float32), state


def estimate_memory(
    experiment: Experiment,
    batch: Any,  # noqa: ANN401 - a family's own batches
    *,
    trainer: pl.Trainer,
) -> Estimate:
    """Take a step with shapes alone, for each part that is trained.

    Args:
        experiment: What is trained.
        batch: One of its batches.
        trainer: Has device and precision.

    Raises:
        Exception: Whatever a model raises that cannot do without the content of its tensors.
    """
    live, shapes = LiveMemory(), Shapes(allow_non_fake_inputs=True)
    with warnings.catch_warnings(), shapes, live, trainer.strategy.root_device, WithoutContents():
        warnings.simplefilter("ignore")  # torch's, of fake tensors that are copied
        method = build_training(experiment, model=build_model(experiment))
        method.trainer = trainer
        weights = live.current
        for part in method.parts:
            updater = method.build_updater(part)
            with method.only(part), trainer.precision_plugin.forward_context():
                method.losses(batch, part).total.backward()  # type: ignore[no-untyped-call]
            updater.optimizer.step()
            updater.optimizer.zero_grad()
    return Estimate(weights=weights, peak=live.peak)
