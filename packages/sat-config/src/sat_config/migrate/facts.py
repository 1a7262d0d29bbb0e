"""What is known of stable-audio-tools' settings and what becomes of them here.

Facts about SAT are those of 0.0.19; old and foreign keys are those of `defaults.ini` files that are
public.
"""

from typing import Any

LIMITS_ELSEWHERE = "training ends by max_steps alone"
IN_DEMO = "training.demo says it"
IN_DATASET = "the dataset says it"
IN_MODEL = "the model document says it"

DROPPED: dict[str, str] = {
    "demo_every": IN_DEMO,
    "demo_steps": IN_DEMO,
    "num_demos": IN_DEMO,
    "lr": "training.learning_rate says it",
    "warmup_steps": "training.warmup_steps says it",
    "sample_rate": IN_MODEL,
    "sample_size": IN_MODEL,
    "audio_channels": IN_MODEL,
    "random_crop": IN_DATASET,
    "training_dir": IN_DATASET,
    "training_config": "the model document holds the training too",
    "max_epochs": LIMITS_ELSEWHERE,
}
"""Keys of older files, and where their meaning lives since."""

MOVED: dict[str, str] = {"num_gpus": "devices", "compile": "runtime.compile"}
"""Keys that have another path here."""

IGNORED_IN_INI: dict[str, str] = {
    "name": "stable-audio-tools takes the name from the command line only;"
    " here it names the folder of the runs",
    "project": "stable-audio-tools never reads it; here it is the project of an online logger",
    "recover": "stable-audio-tools never reads it; here a run continues from its newest checkpoint",
    "save_top_k": "stable-audio-tools never reads it and keeps every checkpoint;"
    " here so many are kept",
    "num_gpus": "stable-audio-tools 0.0.19 never reads it and takes every GPU;"
    " here so many are used",
}
"""Keys that SAT 0.0.19 ignores in `defaults.ini` and that act here."""

OTHER_DEFAULT: dict[str, str] = {
    "save_dir": "the working directory",
    "precision": '"16-mixed"',
    "logger": '"wandb"',
    "num_workers": "6",
}
"""What SAT takes where a `defaults.ini` says nothing, and we something else."""

PREENCODE_DEFAULTS: dict[str, Any] = {"batch_size": 1, "preencode.sample_size": 1_320_960}
"""What SAT's pre_encode.py takes without a flag, and we something else."""

PREENCODE_IDLE: dict[str, str] = {
    "preencode.is_discrete": "the bottleneck itself says whether it makes tokens",
    "preencode.shuffle": "every item is encoded exactly once, in a planned order",
}
"""Flags of pre_encode.py that need no counterpart."""

PREENCODE_IGNORED: dict[str, str] = {
    "preencode.limit_batches": "in stable-audio-tools it has no effect; here encoding stops there"
}
"""Flags that SAT's pre_encode.py ignores and that act here."""
