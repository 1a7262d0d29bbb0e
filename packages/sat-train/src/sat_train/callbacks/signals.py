"""Stopping on request: a signal ends training after the current step, with a checkpoint."""

import logging
import os
import signal
import subprocess
import threading
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any

import pytorch_lightning as pl

from sat_train.callbacks.base import StepCallback
from sat_train.family import Method

log = logging.getLogger(__name__)

SIGNALS = tuple(
    signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)
"""SIGUSR1 is what SLURM is asked to send ahead of the end: `#SBATCH --signal=USR1@120`."""

REQUEUE_SECONDS = 30


class StopRequest(Exception):  # noqa: N818 - no error
    """Whoever is going through batches is to leave off."""


class StopOnSignal(StepCallback):
    """Turns the first signal into an early end of training, which writes a checkpoint.

    A second signal has its usual effect at once. Lightning's own handlers, which would abort
    without a checkpoint, are replaced; when training ends, Lightning puts all handlers back.

    Attributes:
        received: The signal that came, if one did.
    """

    def __init__(self) -> None:
        super().__init__()
        self.received: signal.Signals | None = None
        self._speaks = True

    def on_start(self, trainer: pl.Trainer, method: Method) -> None:
        """Put the handlers in place; Python allows that in the main thread alone.

        Raises:
            SystemExit: SIGTERM came while Lightning made ready, when there is nothing to save yet.
        """
        if trainer.received_sigterm:
            raise SystemExit(128 + signal.SIGTERM)
        self._speaks = trainer.is_global_zero
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._handle)

    def on_step(self, trainer: pl.Trainer, method: Method) -> None:
        """Ask for the end of training; all processes stop at the same step."""
        stop = self.received is not None
        if trainer.world_size > 1:
            stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
        trainer.should_stop = trainer.should_stop or stop

    def watch(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches of something that can wait.

        Raises:
            StopRequest: A signal came.
        """
        for batch in batches:
            if self.received is not None:
                raise StopRequest
            yield batch

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.received is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.received = signal.Signals(number)
        if self._speaks:
            # Straight to the descriptor: the interrupted code may be in the middle of a print.
            text = f"\n{self.received.name}: stopping after this step (again: at once)\n"
            os.write(2, text.encode())


def requeue() -> bool:
    """Put the SLURM job of this process back into the queue, to start again when there is room.

    Returns:
        Whether that has been done; without SLURM it is not.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return False
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    try:
        subprocess.run(("scontrol", "requeue", job), check=True, timeout=REQUEUE_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        log.error("job %s could not be put back into the queue: %s", job, error)
        return False
    return True
