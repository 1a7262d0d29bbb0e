"""Training checkpoints and the pointer to the newest."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from sat_models.files import replacing
from sat_train.callbacks.base import StepCallback
from sat_train.family import Method
from sat_train.run_folder import RunFolder

FORMAT_VERSION = 1


class Checkpoints(StepCallback):
    """Writes a whole checkpoint every so many steps and when training ends.

    A checkpoint holds tensors and plain data alone: `torch.load(weights_only=True)` opens it.
    Beside what Lightning and the method put there it has `sat`: the resolved experiment as JSON
    text, and the number of batches seen.

    Args:
        run: Where checkpoints and pointer go.
        every: Steps between checkpoints.
        config: The resolved experiment as JSON text.

    Attributes:
        newest: What has been written last.
    """

    def __init__(self, run: RunFolder, *, every: int, config: str) -> None:
        super().__init__()
        self.run = run
        self.every = every
        self.config = config
        self.newest: Path | None = None
        self._saved = -1

    def on_start(self, trainer: pl.Trainer, method: Method) -> None:
        """Where a resumed run starts there is a checkpoint already, and step 0 needs none."""
        self._saved = trainer.global_step

    def on_step(self, trainer: pl.Trainer, method: Method) -> None:
        """Save at multiples of `every`."""
        if trainer.global_step % self.every == 0:
            self.save(trainer)

    def on_end(self, trainer: pl.Trainer, method: Method) -> None:
        """Save the last step, unless that has been done."""
        if trainer.global_step != self._saved:
            self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        """Write the state of this moment; every process must call this."""
        path = self.run.checkpoint(trainer.global_step)
        # The other processes take part in collecting the state, but only the first one writes.
        with replacing(path) if trainer.is_global_zero else nullcontext(path) as target:
            trainer.save_checkpoint(target, weights_only=False)
        if trainer.is_global_zero:
            self.run.point_to(path)
        self.newest = path
        self._saved = trainer.global_step

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what makes the file stand on its own."""
        assert isinstance(pl_module, Method)
        checkpoint["sat"] = {
            "version": FORMAT_VERSION,
            "config": self.config,
            "batches": pl_module.batches_seen,
        }

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Continue counting batches where the checkpoint left off."""
        assert isinstance(pl_module, Method)
        pl_module.batches_seen = checkpoint["sat"]["batches"]
