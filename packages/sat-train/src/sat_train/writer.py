"""Checkpoints are written beside training, whole or not at all."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io import CheckpointIO
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from sat_config import UserError
from sat_models.files import replacing

log = logging.getLogger(__name__)


class CheckpointWriter(CheckpointIO):
    """Takes a copy of a training state at once and writes it in a thread while training goes on.

    A file appears under its name when all of it is on the disk. One state is written at a time: a
    second one waits for the first, so that memory holds one copy at most.

    A state that cannot be written (a full disk) is an error message and not the end of training:
    the checkpoints before it are still there, and the next one may succeed.

    Attributes:
        on_written: Called with the path, in the thread, when a file is whole.
        failure: What went wrong with the newest state, if it could not be written.
    """

    def __init__(self) -> None:
        self.on_written: Callable[[Path], None] = lambda _path: None
        self.failure: str | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: object = None,
    ) -> None:
        """Copy the state and return; the file comes later."""
        self.wait()
        copy = apply_to_collection(checkpoint, Tensor, _copy)
        self._pending = self._thread.submit(self._write, copy, Path(path))

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: object = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read a state, without running code from it."""
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return content

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a file, if it is there."""
        Path(path).unlink(missing_ok=True)

    def wait(self) -> None:
        """Until everything is on the disk."""
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def finish(self) -> None:
        """Wait, and insist that the newest state was written.

        Raises:
            UserError: It was not.
        """
        self.wait()
        if self.failure is not None:
            raise UserError(f"{self.failure}; the last checkpoint of this run is missing")

    def teardown(self) -> None:
        """Wait; Lightning calls this when training ends, however it ends."""
        self.wait()

    def _write(self, content: dict[str, Any], path: Path) -> None:
        try:
            with replacing(path) as temporary:
                torch.save(content, temporary)
            self.on_written(path)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            self.failure = f"{path} could not be written: {error}"
            log.error("%s; training goes on", self.failure)
        else:
            self.failure = None


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)
