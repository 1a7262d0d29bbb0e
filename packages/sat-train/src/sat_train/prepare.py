"""Everything that training needs, before anything is written."""

from dataclasses import dataclass

import pytorch_lightning as pl

from sat_config import Experiment
from sat_models.build import build_model
from sat_train import runtime
from sat_train.family import DataModule, Method, build_datamodule, build_training
from sat_train.ledger import RunLedger
from sat_train.report import Report
from sat_train.resume import Resume
from sat_train.run_folder import RunFolder
from sat_train.trainer import build_trainer
from sat_train.weights import fold_pretransform, load_initial_weights, load_resumed_weights


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

    @property
    def max_steps(self) -> int | None:
        """The last step, where there is one."""
        steps = self.trainer.max_steps
        return None if steps is None or steps < 0 else steps

    def facts(self) -> dict[str, str]:
        """What is about to be trained, by label."""
        devices = f"{self.trainer.world_size} x {self.device}, {self.trainer.precision}"
        return {"model": self.method.describe(), **self.data.describe(), "device": devices}


def prepare(experiment: Experiment, *, resume: Resume | None, report: Report) -> Prepared:
    """Build trainer, model, method and data, and load weights; the disk stays as it is.

    Raises:
        UserError: Configuration, machine, weights or data have to be corrected first.
    """
    run = (resume.run if resume else None) or RunFolder.new(experiment)
    trainer = build_trainer(experiment, run=run, resumed_at=resume.step if resume else 0)
    runtime.seed_everything(experiment.seed)
    model = build_model(experiment)
    method = build_training(experiment, model=model)
    ledger = RunLedger(on_bad_file=experiment.on_bad_file)
    data = build_datamodule(
        experiment,
        ledger=ledger,
        first_batch=resume.batches if resume else 0,
        rank=trainer.global_rank,
        world_size=trainer.world_size,
    )
    if resume is None:
        load_initial_weights(model, experiment, report=report)
        method.check_data(data)
        fold_pretransform(model, experiment)
    else:
        fold_pretransform(model, experiment)
        load_resumed_weights(method, resume)
        if experiment.remove_pretransform_weight_norm is None:  # else these are not its weights
            method.check_data(data)
    if experiment.max_steps is None and data.batches is not None:
        trainer.fit_loop.epoch_loop.max_steps = data.batches // experiment.accum_batches
    if experiment.runtime.compile:
        for network in method.networks():
            network.compile()
    return Prepared(experiment, resume, run, trainer, method, ledger, data)
