"""Lightning's Trainer, set up from the run keys of an experiment."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.plugins.precision import HalfPrecision

from sat_config import Experiment, UserError, dumps
from sat_models.support import refuse_unsupported
from sat_train.callbacks.checkpoint import Checkpoints
from sat_train.callbacks.demos import Demos
from sat_train.callbacks.metrics import TrainingMetrics
from sat_train.callbacks.progress import ShowProgress
from sat_train.callbacks.signals import StopOnSignal
from sat_train.callbacks.validation import Validation
from sat_train.family import DataModule, Method
from sat_train.loggers import CsvLogger, TensorBoardLogger
from sat_train.report import Report
from sat_train.resume import Resume
from sat_train.run_folder import RunFolder

NOT_ACTED_ON = {
    "project",
    "num_nodes",
    "strategy",
    "save_top_k",
    "remove_pretransform_weight_norm",
    "logger",
    "runtime",
    "inference",
}
"""Run keys that the schema reads and training does not act on: refused where they are set."""


@dataclass(frozen=True)
class Callbacks:
    """The callbacks of a run, in the order in which they act after a step.

    A checkpoint is written before anything that takes long, so that it is there if the process is
    killed in the meantime.
    """

    stop: StopOnSignal
    metrics: TrainingMetrics
    checkpoints: Checkpoints
    progress: ShowProgress
    validation: Validation | None
    demos: Demos

    def all(self) -> list[Callback]:
        """Those that there are."""
        found = (
            self.stop,
            self.metrics,
            self.checkpoints,
            self.progress,
            self.validation,
            self.demos,
        )
        return [callback for callback in found if callback is not None]


def build_callbacks(
    experiment: Experiment,
    *,
    run: RunFolder,
    data: DataModule,
    report: Report,
    max_steps: int | None,
) -> Callbacks:
    """Make the callbacks of a run; none of them touches the disk yet."""
    metrics = TrainingMetrics()
    return Callbacks(
        stop=StopOnSignal(),
        metrics=metrics,
        checkpoints=Checkpoints(
            run,
            every=experiment.checkpoint_every,
            config=dumps(experiment, format="json"),
        ),
        progress=ShowProgress(metrics, report=report, max_steps=max_steps),
        validation=None
        if data.validation is None
        else Validation(data.validation, every=experiment.val_every, report=report),
        demos=Demos(data.demos, run=run),
    )


def build_trainer(experiment: Experiment, *, run: RunFolder, resumed_at: int) -> pl.Trainer:
    """Make the Trainer, still without callbacks; nothing is written before it is used.

    Raises:
        UnsupportedError: A run key is set that nothing here acts on.
        UserError: The machine cannot do what `accelerator`, `devices` or `precision` ask for.
    """
    refuse_unsupported(experiment, set(experiment.__struct_fields__) - NOT_ACTED_ON, where="")
    devices, precision = experiment.devices, experiment.precision
    half = precision == "bf16-true"
    try:
        # Lightning would go on with another format than the configuration says.
        warnings.filterwarnings("error", message=".*AMP with fp16 is not supported on CPU")
        return pl.Trainer(
            accelerator=experiment.accelerator,
            devices=list(devices) if isinstance(devices, tuple) else devices,
            precision=None if half else precision,
            plugins=[WholeBatches("bf16-true")] if half else None,
            max_steps=-1 if experiment.max_steps is None else experiment.max_steps,
            max_epochs=-1,
            logger=[
                CsvLogger(run.logs / "metrics.csv", resumed_at=resumed_at),
                TensorBoardLogger(run.logs / "tensorboard", resumed_at=resumed_at),
            ],
            default_root_dir=run.path,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_autolog_hparams=False,
        )
    except (MisconfigurationException, ValueError, UserWarning) as error:
        raise UserError(
            f"this machine cannot train with accelerator = {experiment.accelerator!r}, devices ="
            f" {devices!r}, precision = {precision!r}: {error}"
        ) from error


def train(
    trainer: pl.Trainer, method: Method, batches: Iterable[Any], *, resume: Resume | None
) -> None:
    """Train until `max_steps` or until asked to stop.

    Raises:
        KeyboardInterrupt: Ctrl-C before the first step, which Lightning makes a SystemExit of.
    """
    path = resume.path if resume else None
    try:
        trainer.fit(method, batches, ckpt_path=path, weights_only=True)
    except SystemExit as stop:
        if stop.code == 1:
            raise KeyboardInterrupt from stop
        raise


class WholeBatches(HalfPrecision):
    """Lightning's half precision, without its attempt to convert the tensors inside of batches.

    Batches are immutable; methods convert what they take out of them.
    """

    def convert_input(self, data: Any) -> Any:  # noqa: ANN401 - as the base class has it
        """The batch as it is."""
        return data
