"""Stopping on request: SIGINT and SIGTERM end training after the current step."""

import os
import signal
import threading
from types import FrameType

import pytorch_lightning as pl

from sat_train.callbacks.base import StepCallback
from sat_train.family import Method

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnSignal(StepCallback):
    """Turns the first signal into an early end of training, which writes a checkpoint.

    A second signal has its usual effect at once. Lightning's own handler for SIGTERM, which would
    abort without a checkpoint, is replaced; when training ends, Lightning puts all handlers back.

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
