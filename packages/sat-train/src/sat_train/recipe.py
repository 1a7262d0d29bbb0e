"""The recipe: from an experiment to a run folder, from top to bottom."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sat_config import Experiment, UserError
from sat_models.checkpoint import resolve_checkpoint
from sat_train import runtime
from sat_train.callbacks.build import Callbacks, build_callbacks
from sat_train.callbacks.signals import requeue
from sat_train.lock import locked
from sat_train.preflight import preflight
from sat_train.prepare import Prepared, prepare
from sat_train.record import Record, load_record, next_sequence, now
from sat_train.report import Report
from sat_train.result import RunResult
from sat_train.resume import find_resume, table
from sat_train.run_folder import RunFolder
from sat_train.same_data import warn_of_changes
from sat_train.trainer import train


def run(
    experiment: Experiment, *, origins: Mapping[str, str], source: Path | None = None
) -> RunResult:
    """Train an experiment that has been validated; see `sat_train.fit`."""
    started = time.monotonic()
    report = Report(silent=runtime.process_rank() > 0)
    runtime.set_flags(experiment.runtime)
    with runtime.quiet():
        resume = find_resume(experiment, source=source)
        if resume is not None and resume.is_finished(experiment):
            report.nothing_left(resume.path, step=resume.step)
            return RunResult(resume.path.parent.parent, resume.path, resume.step)
        ready = prepare(experiment, resume=resume, report=report)
        if resume is not None and runtime.process_rank() == 0:
            warn_of_changes(resume, ready.data.record())
        if experiment.preflight and resume is None:
            report.facts(preflight(ready))
        report.started(
            ready.facts(),
            run=ready.run.path,
            resumed=f"step {resume.step} of {resume.path}" if resume else None,
            changes=table(resume.changes) if resume else "",
        )
        with claimed(ready, origins=origins) as record:
            callbacks = build_callbacks(ready, report=report, record=record)
            ready.method.callbacks = callbacks.all()
            with ready.run.known_to_children():
                train(ready.trainer, ready.method, ready.data.train, resume=resume)
        result = _result(ready, callbacks)
        _close(ready, callbacks, result, report=report, seconds=time.monotonic() - started)
        return result


def check(experiment: Experiment) -> None:
    """Find out whether an experiment would train, say what was found, and write nothing.

    Raises:
        UserError: It would not.
    """
    report = Report()
    runtime.set_flags(experiment.runtime)
    with runtime.quiet():
        ready = prepare(experiment, resume=None, report=report)
        report.facts({**preflight(ready), **ready.facts()})
    report.line("\nthe first step would work")


@contextmanager
def claimed(ready: Prepared, *, origins: Mapping[str, str]) -> Iterator[Record]:
    """The run folder for the first process alone, with all that it says about itself.

    Raises:
        UserError: Another process trains there, or nothing can be written.
    """
    run, resume, experiment = ready.run, ready.resume, ready.experiment
    if runtime.process_rank() > 0:
        yield Record(name=experiment.name, sequence=0, created="", headline=ready.method.headline)
        return
    with ExitStack() as stack:
        try:
            if resume is None or resume.run is None:
                run.create()
            stack.enter_context(locked(run.path))
            run.sweep()
            record = _new_record(ready)
            record.save(run.record)
            run.describe(experiment, origins=origins, data=ready.data.record(), device=ready.device)
        except OSError as error:
            raise UserError(f"the run folder cannot be written: {error}") from error
        yield record


def _new_record(ready: Prepared) -> Record:
    """The record of this start, with what is known from earlier ones."""
    run, resume = ready.run, ready.resume
    parent = _parent(ready)
    before = load_record(run.record) if resume is not None and resume.run is not None else None
    record = Record(
        name=ready.experiment.name,
        sequence=before.sequence if before else next_sequence(run.path.parent),
        created=before.created if before else now(),
        parent=str(parent) if parent else None,
        headline=ready.method.headline,
        max_steps=ready.max_steps,
    )
    if before is not None:
        record.seconds, record.best = before.seconds, before.best
        record.first, record.last = before.first, before.last
    return record


def _parent(ready: Prepared) -> Path | None:
    """Where the configuration lies that a run's is to be compared with."""
    run, resume = ready.run, ready.resume
    if resume is not None and resume.run is not None:
        return run.set_aside(step=resume.step).relative_to(run.path)
    if resume is not None:
        return resume.path.parent.parent
    weights = ready.experiment.pretrained_ckpt_path
    folder = resolve_checkpoint(weights).parent.parent if weights is not None else None
    return folder if folder is not None and RunFolder(folder).record.exists() else None


def _result(ready: Prepared, callbacks: Callbacks) -> RunResult:
    received, first = callbacks.stop.received, ready.trainer.is_global_zero
    return RunResult(
        run_folder=ready.run.path,
        checkpoint=callbacks.checkpoints.newest,
        step=ready.trainer.global_step,
        metrics=callbacks.validation.last if callbacks.validation else {},
        objective=callbacks.validation.best if callbacks.validation else None,
        interrupted=received,
        requeued=first and received is not None and received.name == "SIGUSR1" and requeue(),
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
