"""The run keys: what every experiment has, whatever it trains."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from sat_config.node import (
    CheckpointPath,
    Name,
    Node,
    NonNegative,
    NonNegativeFloat,
    OutputPath,
    Positive,
    PositiveFloat,
    Probability,
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
        name: What people call it; folders are named by the root's `name`.
        description: Free text.
        tags: Short labels for searching.
    """

    name: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()


class Runtime(Node, kw_only=True):
    """Flags of the whole process, set once before anything is built.

    Attributes:
        num_threads: CPU threads of one operation; the machine's choice if left out.
        matmul_precision: Precision of float32 matrix products on a GPU; "high" and "medium" are
            faster and less exact.
        deterministic: Refuse operations whose result varies from run to run.
        compile: Compile the networks with `torch.compile`. SAT reads the environment variable
            ENABLE_TORCH_COMPILE for this.
        sharing_strategy: How loader processes hand tensors over; "file_system" survives many
            workers and needs room in shared memory. SAT always takes "file_system".
    """

    harmless_keys: ClassVar[tuple[str, ...]] = ("num_threads", "compile", "sharing_strategy")

    num_threads: Positive | None = None
    matmul_precision: Literal["highest", "high", "medium"] = "highest"
    deterministic: bool = False
    compile: bool = False
    sharing_strategy: Literal["file_descriptor", "file_system"] | None = None


Precision = Literal[
    "32-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "64-true", "32", "16", "bf16", "64"
]


class Experiment(Node, kw_only=True):
    """One experiment: the run keys, and below them what a model family adds.

    The names are those of stable-audio-tools' `defaults.ini`, as far as they are there.

    Attributes:
        name: Names the folder under `save_dir` that holds the runs. SAT's default is
            "stable_audio_tools".
        project: Project of an online logger; `name` if left out.
        seed: Seeds weights, data order, crops and sampling.
        batch_size: Items per step and process.
        max_steps: Optimizer steps after which training ends; without it, it runs until stopped.
        accum_batches: Batches whose gradients are added up before an optimizer step.
        gradient_clip_val: Norm above which gradients are scaled down; 0 turns clipping off.
        precision: Numeric format of weights and arithmetic. SAT's default is "16-mixed".
        accelerator: Kind of device; "auto" takes the best one there is. SAT always takes "gpu".
        devices: How many devices, which ones by index, or "auto" for all.
        num_nodes: Machines that train together.
        strategy: How several devices work together, in Lightning's names.
        num_workers: Processes that load data; 0 loads in the main process. SAT's default is 6.
        checkpoint_every: Steps between checkpoints; one is also written at the end.
        checkpoint_minutes: Minutes after which another checkpoint is written if none was. Like the
            one of a run that was stopped, it is removed once a newer one is whole.
        save_top_k: Checkpoints that are kept, newest first, besides the one with the best
            validation; -1 keeps all, 0 the newest alone, which a resumed run needs.
        val_every: Steps between validations; 0 or less validates at the end only.
        save_dir: Folder of all runs. SAT's default is the working directory.
        recover: Continue from the newest whole checkpoint of this name, if there is one.
        ckpt_path: Checkpoint whose training state is resumed.
        pretrained_ckpt_path: Checkpoint whose weights the model starts from.
        pretransform_ckpt_path: Checkpoint of the pretransform's weights.
        remove_pretransform_weight_norm: Fold the pretransform's weight normalisation before or
            after its checkpoint is loaded.
        logger: Where metrics and media go besides the run folder, which always has them as CSV
            and TensorBoard files. SAT's default is "wandb".
        on_bad_file: What a file that cannot be decoded does: stop the run, or be skipped and
            written to the run's ledger.
        max_bad_share: Share of bad files above which a run that skips them stops all the same.
        max_bad_steps: Steps in a row without a finite loss and gradients, each of them skipped,
            after which training stops.
        allow_random_pretransform: Train a latent model though its pretransform has no weights but
            random ones.
        preflight: Before the first step of a run, read some of the data, try a step and estimate
            its memory.
        runtime: Flags of the whole process.
        experiment: Description and tags.
        checks: Accepted rules and accepted unknown keys.
        ignored: Accepted unknown keys, by path, kept as they were found. The one place of free
            form: nobody knows what they mean.
    """

    harmless_keys: ClassVar[tuple[str, ...]] = (
        "name",
        "project",
        "max_steps",
        "num_workers",
        "checkpoint_every",
        "checkpoint_minutes",
        "save_top_k",
        "val_every",
        "save_dir",
        "recover",
        "ckpt_path",
        "logger",
        "on_bad_file",
        "max_bad_share",
        "max_bad_steps",
        "preflight",
        "experiment",
        "checks",
        "ignored",
    )
    training_keys: ClassVar[tuple[str, ...]] = (
        "seed",
        "batch_size",
        "accum_batches",
        "gradient_clip_val",
        "precision",
        "accelerator",
        "devices",
        "num_nodes",
        "strategy",
        "pretrained_ckpt_path",
        "allow_random_pretransform",
        "runtime",
    )
    latent_keys: ClassVar[tuple[str, ...] | None] = ()

    name: Name = "sat"
    project: Annotated[str, Meta(min_length=1)] | None = None
    seed: NonNegative = 42
    batch_size: Positive = 4
    max_steps: Positive | None = None
    accum_batches: Positive = 1
    gradient_clip_val: NonNegativeFloat = 0.0
    precision: Precision = "32-true"
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    devices: Positive | Literal["auto"] | Annotated[tuple[NonNegative, ...], Meta(min_length=1)] = (
        "auto"
    )
    num_nodes: Positive = 1
    strategy: Annotated[str, Meta(min_length=1)] = "auto"
    num_workers: NonNegative = 4
    checkpoint_every: Positive = 10_000
    checkpoint_minutes: PositiveFloat = 30.0
    save_top_k: Annotated[int, Meta(ge=-1)] = -1
    val_every: int = -1
    save_dir: OutputPath = "runs"
    recover: bool = False
    ckpt_path: CheckpointPath | None = None
    pretrained_ckpt_path: CheckpointPath | None = None
    pretransform_ckpt_path: CheckpointPath | None = None
    remove_pretransform_weight_norm: Literal["pre_load", "post_load"] | None = None
    logger: Literal["local", "wandb", "comet"] = "local"
    on_bad_file: Literal["error", "skip"] = "skip"
    max_bad_share: Probability = 0.1
    max_bad_steps: Positive = 20
    allow_random_pretransform: bool = False
    preflight: bool = True
    runtime: Runtime = Runtime()
    experiment: ExperimentInfo = ExperimentInfo()
    checks: Checks = Checks()
    ignored: dict[str, Any] = {}  # noqa: RUF012 - msgspec copies it per instance
