"""Lightning's Trainer, set up from the run keys of an experiment."""

import multiprocessing
import warnings
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException

from sat_config import Experiment, UserError
from sat_train import devices
from sat_train.family import Method
from sat_train.loggers import CsvLogger, RunLogger, TensorBoardLogger
from sat_train.resume import Resume
from sat_train.run_folder import RunFolder
from sat_train.writer import CheckpointWriter


def build_loggers(experiment: Experiment, *, run: RunFolder, resumed_at: int) -> list[RunLogger]:
    """The run folder's own, and the service that the experiment names.

    Raises:
        UserError: The service's package or account is missing.
    """
    loggers: list[RunLogger] = [
        CsvLogger(run.logs / "metrics.csv", resumed_at=resumed_at),
        TensorBoardLogger(run.logs / "tensorboard", resumed_at=resumed_at),
    ]
    if experiment.logger != "local":
        from sat_train.online_loggers import ONLINE

        loggers.append(ONLINE[experiment.logger](experiment, run))
    return loggers


def build_trainer(experiment: Experiment, *, run: RunFolder, resumed_at: int) -> pl.Trainer:
    """Make the Trainer, still without callbacks; nothing is written before it is used.

    Raises:
        UserError: The machine cannot do what `accelerator`, `devices`, `strategy` or `precision`
            ask for, or a logger lacks something.
    """
    chosen, precision = experiment.devices, devices.build_precision(experiment)
    plugins = [precision, devices.build_environment(), CheckpointWriter()]
    try:
        # Lightning would go on with another format than the configuration says.
        warnings.filterwarnings("error", message=".*AMP with fp16 is not supported on CPU")
        return pl.Trainer(
            accelerator=experiment.accelerator,
            devices=list(chosen) if isinstance(chosen, tuple) else chosen,
            num_nodes=experiment.num_nodes,
            strategy=devices.build_strategy(experiment),
            precision=experiment.precision if precision is None else None,
            plugins=[plugin for plugin in plugins if plugin is not None],
            max_steps=-1 if experiment.max_steps is None else experiment.max_steps,
            max_epochs=-1,
            logger=build_loggers(experiment, run=run, resumed_at=resumed_at),
            default_root_dir=run.path,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_autolog_hparams=False,
        )
    except (MisconfigurationException, ValueError, UserWarning) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"this machine cannot train with accelerator = {experiment.accelerator!r}, devices ="
            f" {chosen!r}, strategy = {experiment.strategy!r}, precision ="
            f" {experiment.precision!r}: {error}"
        ) from error


def train(
    trainer: pl.Trainer, method: Method, batches: Iterable[Any], *, resume: Resume | None
) -> None:
    """Train until `max_steps` or until asked to stop.

    Raises:
        UserError: What was asked for does not go together, as Lightning found out; or a worker
            died.
        KeyboardInterrupt: Ctrl-C before the first step, which Lightning makes a SystemExit of.
    """
    path = resume.path if resume else None
    others = multiprocessing.active_children()
    try:
        trainer.fit(method, batches, ckpt_path=path, weights_only=True)
    except MisconfigurationException as error:
        raise UserError(f"training cannot start: {error}") from error
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise UserError(
            f"a process that loads data died: {str(error).splitlines()[0]}\nIf the machine ran out"
            " of memory, lower num_workers; recover = true goes on"
        ) from error
    except SystemExit as stop:
        if stop.code == 1:
            raise KeyboardInterrupt from stop
        raise
    finally:
        # A worker that was killed may have held the lock that another one waits for. Workers do
        # not heed SIGTERM, and Python would wait for them for ever.
        for child in multiprocessing.active_children():
            if child not in others:
                child.kill()
