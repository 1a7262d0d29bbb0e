"""What the model can show of itself while it trains."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from sat_train.callbacks.base import StepCallback
from sat_train.callbacks.signals import StopOnSignal, StopRequest
from sat_train.family import Method, evaluating
from sat_train.loggers import RunLogger, title_of
from sat_train.run_folder import RunFolder

log = logging.getLogger(__name__)


class Demos(StepCallback):
    """Writes the method's demos every so many steps and at the end.

    A demo that fails is logged and training goes on. Whoever stops a run gets none.

    Args:
        batches: What demos may be made from.
        run: Where they go.
        stop: Whether someone stops the run.
    """

    def __init__(self, batches: Iterable[Any], *, run: RunFolder, stop: StopOnSignal) -> None:
        super().__init__()
        self.batches = batches
        self.run = run
        self.stop = stop
        self._written = -1

    def on_step(self, trainer: pl.Trainer, method: Method) -> None:
        """Write at multiples of the method's `demo_every`."""
        if self.is_due(method.demo_every) and not trainer.should_stop:
            self.write(trainer, method)

    def on_end(self, trainer: pl.Trainer, method: Method) -> None:
        """Write those of the last step."""
        if trainer.global_step != self._written and not trainer.should_stop:
            self.write(trainer, method)

    def write(self, trainer: pl.Trainer, method: Method) -> None:
        """Make and write the demos of this moment."""
        self._written = trainer.global_step
        if not trainer.is_global_zero:
            return
        folder = self.run.demos(trainer.global_step)
        try:
            with evaluating(method):
                batches = method.on_device(self.stop.watch(self.batches))
                for index, demo in enumerate(method.demos(batches)):
                    demo.save(folder, prefix=f"{index:02d}_")
            self._log(trainer, folder)
        except StopRequest:
            return
        except Exception:
            log.exception("no demo at step %d; training goes on", trainer.global_step)

    def _log(self, trainer: pl.Trainer, folder: Path) -> None:
        files = {title_of(path): path for path in sorted(folder.glob("*"))}
        for logger in trainer.loggers:
            if isinstance(logger, RunLogger):
                logger.log_files(files, step=trainer.global_step)
