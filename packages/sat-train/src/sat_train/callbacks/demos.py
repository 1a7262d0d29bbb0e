"""Clips to listen to and look at while a model trains."""

import logging
import re
from collections.abc import Iterable
from pathlib import Path

import pytorch_lightning as pl

from sat_models.audio import write_audio
from sat_models.data.batch import Batch
from sat_train.callbacks.base import StepCallback
from sat_train.methods.base import Demo, Method, evaluating
from sat_train.plots import save_spectrograms
from sat_train.run_folder import RunFolder

log = logging.getLogger(__name__)


class Demos(StepCallback):
    """Writes the method's demos every so many steps and at the end, as FLAC and spectrograms.

    A demo that fails is logged and training goes on. Whoever stops a run gets none.

    Args:
        batches: What demos may be made from.
        run: Where they go.
        sample_rate: Hz of the audio.
    """

    def __init__(self, batches: Iterable[Batch], *, run: RunFolder, sample_rate: int) -> None:
        super().__init__()
        self.batches = batches
        self.run = run
        self.sample_rate = sample_rate
        self._written = -1

    def on_step(self, trainer: pl.Trainer, method: Method) -> None:
        """Write at multiples of the method's `demo_every`."""
        if trainer.global_step % method.demo_every == 0 and not trainer.should_stop:
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
                on_device = (batch.to(method.device) for batch in self.batches)
                for index, demo in enumerate(method.demos(on_device)):
                    self._write_one(demo, folder=folder, index=index)
        except Exception:
            log.exception("no demo at step %d; training goes on", trainer.global_step)

    def _write_one(self, demo: Demo, *, folder: Path, index: int) -> None:
        stem = f"{index:02d}_{re.sub(r'[^A-Za-z0-9._-]+', '_', demo.name)}"
        for version, audio in demo.audio.items():
            name = f"{stem}.{version}.flac" if len(demo.audio) > 1 else f"{stem}.flac"
            write_audio(folder / name, audio, sample_rate=self.sample_rate)
        save_spectrograms(folder / f"{stem}.png", demo.audio, sample_rate=self.sample_rate)
