"""The recipe: from an experiment to a run folder, from top to bottom."""

import time
from collections.abc import Mapping

import sat_config
from sat_config import ConfigError, UserError
from sat_config.audio.dataset import DatasetNode
from sat_config.audio.experiment import AudioExperiment
from sat_config.node import Node
from sat_train.result import RunResult


def fit(experiment: AudioExperiment, *, origins: Mapping[str, str] | None = None) -> RunResult:
    """Train what an experiment describes, until `max_steps` or until asked to stop.

    Whatever is wrong with configuration, machine, weights or data is told before the run folder is
    made. SIGINT and SIGTERM end training after the current step, with a checkpoint.

    Args:
        experiment: The experiment, with a dataset and a training block.
        origins: Where each value came from, as `sat_config.check(...).origins` has it; stored.

    Raises:
        UserError: Something has to be corrected first.
    """
    started = time.monotonic()
    training, dataset = _require_trainable(experiment)

    # Torch from here on: whoever made a mistake in a configuration need not wait for it.
    from sat_models.build import build_model
    from sat_train import builtin, runtime
    from sat_train.data import build_data
    from sat_train.ledger import RunLedger
    from sat_train.methods.base import build_method
    from sat_train.report import Report
    from sat_train.resume import find_resume
    from sat_train.run_folder import RunFolder
    from sat_train.trainer import build_callbacks, build_trainer
    from sat_train.weights import load_initial_weights, load_resumed_weights

    builtin.load()
    report = Report(silent=runtime.process_rank() > 0)
    with runtime.quiet():
        resume = find_resume(experiment)
        if resume is not None and resume.is_finished(experiment):
            report.nothing_left(resume.path, step=resume.step)
            return RunResult(resume.path.parent.parent, resume.path, resume.step)
        run = RunFolder(resume.run) if resume and resume.run else RunFolder.new(experiment)
        resumed_at = resume.step if resume else 0
        trainer = build_trainer(experiment, run=run, resumed_at=resumed_at)
        device = runtime.device_name(trainer.strategy.root_device)

        runtime.seed_everything(experiment.seed)
        model = build_model(experiment)
        method = build_method(training, model=model, experiment=experiment)
        if resume is None:
            load_initial_weights(model, experiment, report=report)
        else:
            load_resumed_weights(method, resume)

        ledger = RunLedger(on_bad_file=experiment.on_bad_file)
        data = build_data(
            experiment,
            dataset,
            ledger=ledger,
            first_batch=resume.batches if resume else 0,
            rank=trainer.local_rank,
            world_size=trainer.num_devices,
        )
        method.check_data(data.dataset)
        callbacks = build_callbacks(experiment, run=run, data=data, report=report)
        method.callbacks = callbacks.all()
        facts = {"model": method.describe(), **data.describe()}
        report.started(
            {**facts, "device": f"{trainer.num_devices} x {device}, {trainer.precision}"},
            run=run.path,
            resumed=f"step {resume.step} of {resume.path}" if resume else None,
            changes=resume.changes if resume else (),
        )

        if runtime.process_rank() == 0:
            run.describe(experiment, origins=origins or {}, device=device, resumed_at=resumed_at)
        ledger.open(run.bad_files)
        with run.known_to_children():
            path = resume.path if resume else None
            trainer.fit(method, data.train, ckpt_path=path, weights_only=True)

        result = RunResult(
            run_folder=run.path,
            checkpoint=run.last_checkpoint(),
            step=trainer.global_step,
            metrics=callbacks.validation.last if callbacks.validation else {},
            interrupted=callbacks.stop.received,
        )
        report.finished(
            result,
            first=callbacks.validation.first if callbacks.validation else {},
            seconds=time.monotonic() - started,
            next_words=run.resume_words()
            if result.interrupted
            else method.next_words(experiment, config=run.config, latest=run.latest),
        )
        return result


def _require_trainable(experiment: AudioExperiment) -> tuple[Node, DatasetNode]:
    """The training block and the dataset of an experiment that may run."""
    found = sat_config.validate(experiment)
    if found.errors:
        raise ConfigError(found.problems)
    training: Node | None = getattr(experiment, "training", None)
    if training is None:
        raise UserError("the experiment has no [training] table, so there is nothing to train by")
    if experiment.dataset is None:
        raise UserError(
            "the experiment has no [dataset] table, so there is nothing to train on; add\n\n"
            '[dataset]\ndataset_type = "audio_dir"\ndatasets = [{ id = "music", path = "FOLDER" }]'
        )
    return training, experiment.dataset
