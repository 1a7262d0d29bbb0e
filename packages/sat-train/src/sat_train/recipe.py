"""The recipe: from an experiment to a run folder, from top to bottom."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import pytorch_lightning as pl

from sat_config import Experiment
from sat_models.build import build_model
from sat_train import runtime
from sat_train.family import DataModule, Method, build_datamodule, build_training
from sat_train.ledger import RunLedger
from sat_train.report import Report
from sat_train.result import RunResult
from sat_train.resume import Resume, find_resume
from sat_train.run_folder import RunFolder
from sat_train.trainer import Callbacks, build_callbacks, build_trainer, train
from sat_train.weights import load_initial_weights, load_resumed_weights


@dataclass(frozen=True)
class Prepared:
    """Everything that training needs; nothing has been written yet.

    Attributes:
        experiment: What is trained.
        resume: What it continues from, if anything.
        run: Where it goes.
        trainer: Lightning's, without callbacks.
        method: The model and how it trains, with the weights that it starts from.
        ledger: Bad files, in memory until the folder exists.
        data: Batches.
    """

    experiment: Experiment
    resume: Resume | None
    run: RunFolder
    trainer: pl.Trainer
    method: Method
    ledger: RunLedger
    data: DataModule

    @property
    def device(self) -> str:
        """What it runs on, in words."""
        return runtime.device_name(self.trainer.strategy.root_device)


def run(experiment: Experiment, *, origins: Mapping[str, str]) -> RunResult:
    """Train an experiment that has been validated; see `sat_train.fit`."""
    started = time.monotonic()
    report = Report(silent=runtime.process_rank() > 0)
    with runtime.quiet():
        resume = find_resume(experiment)
        if resume is not None and resume.is_finished(experiment):
            report.nothing_left(resume.path, step=resume.step)
            return RunResult(resume.path.parent.parent, resume.path, resume.step)
        ready = prepare(experiment, resume=resume, report=report)
        callbacks = build_callbacks(
            experiment,
            run=ready.run,
            data=ready.data,
            report=report,
            max_steps=_end(ready),
        )
        ready.method.callbacks = callbacks.all()
        _open(ready, origins=origins, report=report)
        with ready.run.known_to_children():
            train(ready.trainer, ready.method, ready.data.train, resume=resume)
        result = _result(ready, callbacks)
        _close(ready, callbacks, result, report=report, seconds=time.monotonic() - started)
        return result


def prepare(experiment: Experiment, *, resume: Resume | None, report: Report) -> Prepared:
    """Build trainer, model, method and data, and load weights; the disk stays as it is.

    Raises:
        UserError: Configuration, machine, weights or data have to be corrected first.
    """
    run = RunFolder(resume.run) if resume and resume.run else RunFolder.new(experiment)
    trainer = build_trainer(experiment, run=run, resumed_at=resume.step if resume else 0)
    method = _build_method(experiment, resume=resume, report=report)
    ledger = RunLedger(on_bad_file=experiment.on_bad_file)
    data = build_datamodule(
        experiment,
        ledger=ledger,
        first_batch=resume.batches if resume else 0,
        rank=trainer.local_rank,
        world_size=trainer.num_devices,
    )
    method.check_data(data)
    if experiment.max_steps is None and data.batches is not None:
        trainer.fit_loop.epoch_loop.max_steps = data.batches // experiment.accum_batches
    return Prepared(experiment, resume, run, trainer, method, ledger, data)


def _end(ready: Prepared) -> int | None:
    """The last step, where there is one."""
    steps = ready.trainer.max_steps
    return None if steps is None or steps < 0 else steps


def _build_method(experiment: Experiment, *, resume: Resume | None, report: Report) -> Method:
    runtime.seed_everything(experiment.seed)
    model = build_model(experiment)
    method = build_training(experiment, model=model)
    if resume is None:
        load_initial_weights(model, experiment, report=report)
    else:
        load_resumed_weights(method, resume)
    return method


def _open(ready: Prepared, *, origins: Mapping[str, str], report: Report) -> None:
    """Say what is about to be trained, and make the run folder."""
    trainer, resume = ready.trainer, ready.resume
    report.started(
        {
            "model": ready.method.describe(),
            **ready.data.describe(),
            "device": f"{trainer.num_devices} x {ready.device}, {trainer.precision}",
        },
        run=ready.run.path,
        resumed=f"step {resume.step} of {resume.path}" if resume else None,
        changes=resume.changes if resume else (),
    )
    if runtime.process_rank() == 0:
        ready.run.describe(
            ready.experiment,
            origins=origins,
            data=ready.data.record(),
            device=ready.device,
            resumed_at=resume.step if resume else 0,
        )
    ready.ledger.open(ready.run.bad_files)


def _result(ready: Prepared, callbacks: Callbacks) -> RunResult:
    return RunResult(
        run_folder=ready.run.path,
        checkpoint=callbacks.checkpoints.newest,
        step=ready.trainer.global_step,
        metrics=callbacks.validation.last if callbacks.validation else {},
        objective=callbacks.validation.best if callbacks.validation else None,
        interrupted=callbacks.stop.received,
    )


def _close(
    ready: Prepared, callbacks: Callbacks, result: RunResult, *, report: Report, seconds: float
) -> None:
    """Say how it ended and what to do next."""
    run = ready.run
    report.finished(
        result,
        first=callbacks.validation.first if callbacks.validation else {},
        seconds=seconds,
        next_words=run.resume_words()
        if result.interrupted
        else ready.method.next_words(ready.experiment, config=run.config, latest=run.latest),
    )
