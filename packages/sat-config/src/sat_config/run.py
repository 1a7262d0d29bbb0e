"""The run keys: what every experiment has, whatever it trains."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from sat_config.node import (
    CheckpointPath,
    Name,
    Node,
    NonNegative,
    NonNegativeFloat,
    OutputPath,
    Positive,
)


class Checks(Node, kw_only=True):
    """What the author of a file accepts knowingly.

    Attributes:
        allow: Codes of broken rules that become warnings ("SAT-E012").
        allow_unknown: Exact paths of keys that nobody knows; listed at every start and kept in
            the stored document's `ignored` table.
    """

    allow: tuple[str, ...] = ()
    allow_unknown: tuple[str, ...] = ()


class ExperimentInfo(Node, kw_only=True):
    """What a person says about an experiment; recorded, never read by a model.

    Attributes:
        description: Free text.
        tags: Short labels for searching.
    """

    description: str = ""
    tags: tuple[str, ...] = ()


class Experiment(Node, kw_only=True):
    """One experiment: the run keys, and below them what a model family adds.

    Attributes:
        name: Names the folder under `save_dir` that holds the runs.
        seed: Seeds weights, data order, crops and sampling.
        batch_size: Items per step and process.
        max_steps: Optimizer steps after which training ends; without it, it runs until stopped.
        accum_batches: Batches whose gradients are added up before an optimizer step.
        gradient_clip_val: Norm above which gradients are scaled down; 0 turns clipping off.
        precision: Numeric format of weights and arithmetic. SAT's default is "16-mixed".
        accelerator: Kind of device; "auto" takes the best one there is.
        devices: How many devices, which ones by index, or "auto" for all.
        num_workers: Processes that load data; 0 loads in the main process. SAT's default is 6.
        checkpoint_every: Steps between checkpoints; one is also written at the end.
        val_every: Steps between validations; 0 or less validates at the end only.
        save_dir: Folder of all runs. SAT's default is the working directory.
        recover: Continue from the newest whole checkpoint of this name, if there is one.
        ckpt_path: Checkpoint whose training state is resumed.
        pretrained_ckpt_path: Checkpoint whose weights the model starts from.
        pretransform_ckpt_path: Checkpoint of the pretransform's weights.
        on_bad_file: What a file that cannot be decoded does: stop the run, or be skipped and
            written to the run's ledger.
        experiment: Description and tags.
        checks: Accepted rules and accepted unknown keys.
        ignored: Accepted unknown keys, by path, kept as they were found. The one place of free
            form: nobody knows what they mean.
    """

    name: Name = "sat"
    seed: NonNegative = 42
    batch_size: Positive = 4
    max_steps: Positive | None = None
    accum_batches: Positive = 1
    gradient_clip_val: NonNegativeFloat = 0.0
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "bf16-true"] = "32-true"
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    devices: Positive | Literal["auto"] | Annotated[tuple[NonNegative, ...], Meta(min_length=1)] = (
        "auto"
    )
    num_workers: NonNegative = 4
    checkpoint_every: Positive = 10_000
    val_every: int = -1
    save_dir: OutputPath = "runs"
    recover: bool = False
    ckpt_path: CheckpointPath | None = None
    pretrained_ckpt_path: CheckpointPath | None = None
    pretransform_ckpt_path: CheckpointPath | None = None
    on_bad_file: Literal["error", "skip"] = "skip"
    experiment: ExperimentInfo = ExperimentInfo()
    checks: Checks = Checks()
    ignored: dict[str, Any] = {}  # noqa: RUF012 - msgspec copies it per instance
