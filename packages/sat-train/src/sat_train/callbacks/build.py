"""The callbacks of a run, and the order in which they act."""

from dataclasses import dataclass

from pytorch_lightning.callbacks import Callback

from sat_config import dumps
from sat_train.callbacks.checkpoint import Checkpoints
from sat_train.callbacks.demos import Demos
from sat_train.callbacks.guard import Guard
from sat_train.callbacks.keep import KeepRecord, MeetInFolder
from sat_train.callbacks.metrics import TrainingMetrics
from sat_train.callbacks.progress import ShowProgress
from sat_train.callbacks.signals import StopOnSignal
from sat_train.callbacks.speed import Speed
from sat_train.callbacks.validation import Validation
from sat_train.prepare import Prepared
from sat_train.record import Record
from sat_train.report import Report


@dataclass(frozen=True)
class Callbacks:
    """The callbacks of a run, in the order in which they act after a step.

    A checkpoint is taken before anything that takes long, so that it is there if the process is
    killed in the meantime; and after the step's figures are on the disk, and found to be finite.
    """

    meet: MeetInFolder
    stop: StopOnSignal
    metrics: TrainingMetrics
    guard: Guard
    checkpoints: Checkpoints
    progress: ShowProgress
    validation: Validation | None
    demos: Demos
    speed: Speed
    keep: KeepRecord

    def all(self) -> list[Callback]:
        """Those that there are."""
        found = (
            self.meet,
            self.stop,
            self.metrics,
            self.guard,
            self.checkpoints,
            self.progress,
            self.validation,
            self.demos,
            self.speed,
            self.keep,
        )
        return [callback for callback in found if callback is not None]


def build_callbacks(ready: Prepared, *, report: Report, record: Record) -> Callbacks:
    """Make the callbacks of a run; none of them touches the disk yet."""
    experiment, run, data = ready.experiment, ready.run, ready.data
    stop, metrics = StopOnSignal(), TrainingMetrics()
    guard = Guard(run, data=data, most=experiment.max_bad_steps)
    checkpoints = Checkpoints(
        run,
        every=experiment.checkpoint_every,
        minutes=experiment.checkpoint_minutes,
        keep=experiment.save_top_k,
        config=dumps(experiment, format="json"),
    )
    validation = None
    if data.validation is not None:
        validation = Validation(
            data.validation,
            every=experiment.val_every,
            report=report,
            stop=stop,
            checkpoints=checkpoints,
        )
    items = experiment.batch_size * experiment.accum_batches * ready.trainer.world_size
    return Callbacks(
        meet=MeetInFolder(run, ledger=ready.ledger),
        stop=stop,
        metrics=metrics,
        guard=guard,
        checkpoints=checkpoints,
        progress=ShowProgress(metrics, report=report, max_steps=ready.max_steps),
        validation=validation,
        demos=Demos(data.demos, run=run, stop=stop),
        speed=Speed(items_per_step=items),
        keep=KeepRecord(
            run,
            record=record,
            stop=stop,
            metrics=metrics,
            guard=guard,
            checkpoints=checkpoints,
            validation=validation,
        ),
    )
