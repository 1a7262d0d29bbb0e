"""Training checkpoints: when they are written, and which are kept."""

import math
import shutil
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.strategies import DeepSpeedStrategy

from sat_train.callbacks.base import StepCallback
from sat_train.errors import DivergedError
from sat_train.family import Method
from sat_train.run_folder import RunFolder
from sat_train.writer import CheckpointWriter

FORMAT_VERSION = 1
CLOCK_STEPS = 10
"""Steps between looks at the clock on several devices, which have to agree on what it says."""


class Checkpoints(StepCallback):
    """Writes a whole checkpoint every so many steps and when training ends.

    Whatever else ends training, and every so many minutes, a *rescue* checkpoint is written: it is
    removed once a newer checkpoint is whole, so that the disk does not fill up.

    A checkpoint holds tensors and plain data alone: `torch.load(weights_only=True)` opens it.
    Beside what Lightning and the method put there it has `sat`: the resolved experiment as JSON
    text, and the number of batches seen.

    Args:
        run: Where checkpoints and pointer go.
        every: Steps between checkpoints.
        minutes: Minutes between checkpoints at most.
        keep: How many are kept, the newest first; -1 for all. The best one is kept besides.
        config: The resolved experiment as JSON text.

    Attributes:
        newest: The last that is whole.
        best: Step and headline figure of the best validation that has a checkpoint.
    """

    def __init__(
        self,
        run: RunFolder,
        *,
        every: int,
        minutes: float,
        keep: int,
        config: str,
    ) -> None:
        super().__init__()
        self.run = run
        self.every = every
        self.seconds = 60 * minutes
        self.keep = keep
        self.config = config
        self.writer: CheckpointWriter | None = None
        self.newest: Path | None = None
        self.best: tuple[int, float] | None = None
        self._saved = -1
        self._saved_at = time.monotonic()
        self._batches = 0
        self._steps_underway = 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Hear from the writer, unless the strategy writes by itself."""
        if isinstance(trainer.strategy, DeepSpeedStrategy):
            return
        assert isinstance(trainer.strategy.checkpoint_io, CheckpointWriter)
        self.writer = trainer.strategy.checkpoint_io
        self.writer.on_written = self._written

    def on_start(self, trainer: pl.Trainer, method: Method) -> None:
        """Where a resumed run starts there is a checkpoint already, and step 0 needs none."""
        self._saved = trainer.global_step
        self._saved_at = time.monotonic()
        self._batches = method.batches_seen

    def on_step(self, trainer: pl.Trainer, method: Method) -> None:
        """Save at multiples of `every`, and when it is time."""
        self._batches = method.batches_seen
        self._steps_underway = 0
        if self.is_due(self.every):
            self.save(trainer)
        elif trainer.global_step != trainer.max_steps and self._is_time(trainer):
            self.save(trainer, rescue=True)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: object
    ) -> None:
        """From here to the end of the step, weights and counters may not belong together."""
        self._steps_underway += 1

    def on_end(self, trainer: pl.Trainer, method: Method) -> None:
        """Save the last step, unless that has been done, and wait until it is on the disk.

        Raises:
            UserError: It could not be written.
        """
        if trainer.global_step != self._saved:
            self.save(trainer, rescue=trainer.should_stop)
        if self.writer is not None:
            self.writer.finish()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Save the last whole step of a run on one device, before the error is shown.

        On several devices the others may wait for one that is gone.
        """
        assert isinstance(pl_module, Method)
        wanted = isinstance(exception, Exception) and not isinstance(exception, DivergedError)
        whole = self._steps_underway == 0 and trainer.global_step > max(self._saved, 0)
        if wanted and whole and self._saved >= 0 and trainer.world_size == 1:
            pl_module.batches_seen = self._batches
            self.save(trainer, rescue=True)

    def save(self, trainer: pl.Trainer, *, rescue: bool = False) -> None:
        """Write the state of this moment; every process must call this."""
        path = self.run.checkpoint(trainer.global_step, rescue=rescue)
        if self.writer is not None:
            trainer.save_checkpoint(path, weights_only=False)
        else:
            self._save_folder(trainer, path)
        self._saved = trainer.global_step
        self._saved_at = time.monotonic()

    def judge(self, step: int, figure: float) -> None:
        """Remember a step by its headline figure, if it is the best so far of those to be kept."""
        if self.writer is not None:
            self.writer.wait()
        best = math.inf if self.best is None else self.best[1]
        if figure < best and self.run.checkpoint(step).exists():
            self.best = step, figure

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what makes the file stand on its own."""
        assert isinstance(pl_module, Method)
        checkpoint["sat"] = {
            "version": FORMAT_VERSION,
            "config": self.config,
            "batches": pl_module.batches_seen,
            "optimizers": pl_module.optimizer_kinds(),
        }

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Continue counting batches where the checkpoint left off."""
        assert isinstance(pl_module, Method)
        pl_module.stored_optimizers = checkpoint["sat"].get("optimizers")
        pl_module.batches_seen = checkpoint["sat"]["batches"]

    def _save_folder(self, trainer: pl.Trainer, path: Path) -> None:
        """DeepSpeed's own format, a folder, which takes its name when it is whole."""
        temporary = path.with_name(f".{path.name}.tmp")
        trainer.save_checkpoint(temporary, weights_only=False)
        if trainer.is_global_zero:
            temporary.replace(path)
            self._written(path)

    def _is_time(self, trainer: pl.Trainer) -> bool:
        alone = trainer.world_size == 1
        if not alone and not self.is_due(CLOCK_STEPS):
            return False
        late = time.monotonic() - self._saved_at >= self.seconds
        return late if alone else bool(trainer.strategy.reduce_boolean_decision(late, all=False))

    def _written(self, path: Path) -> None:
        """In the writer's thread: point to the new checkpoint, and remove what it replaces."""
        self.newest = path
        self.run.point_to(path)
        found = self.run.checkpoints()
        superseded = [old for old in found if self.run.is_rescue(old) and old != path]
        regular = [old for old in found if not self.run.is_rescue(old)]
        if self.keep >= 0:
            best = self.run.checkpoint(self.best[0]) if self.best else None
            superseded += [old for old in regular[max(self.keep, 1) :] if old not in (best, path)]
        for old in superseded:
            shutil.rmtree(old) if old.is_dir() else old.unlink()
