"""Steps per second of training, ours over stable-audio-tools' wrappers, alternating.

Both train the same networks on the same batches in Lightning's own loop, in one process, without
demos and checkpoints. Run it with a Python that has stable-audio-tools 0.0.19, our packages on its
path:

    PYTHONPATH=$(echo packages/*/src | tr ' ' :) python benchmarks/training.py

Without stable-audio-tools it measures ours alone. Its language model 0.0.19 stops in the first
forward pass, because masks reach layers that take none; here they are left out on the way. Each
round takes `--steps` steps of each; the figure is the median over all steps but the first two of a
round.

With `--first-step` each is started in a process of its own in place of that: how long it takes from
the start of Python to the end of the first step, imports and building included, and the most memory
that the process had by the end of the third.
"""

import argparse
import copy
import json
import logging
import resource
import statistics
import subprocess
import sys
import time
import warnings
from importlib.util import find_spec

import pytorch_lightning as pl
import torch

import sat_config
from sat_models.data.batch import AudioBatch, Batch, CodeBatch, Item, LatentBatch

SKIPPED = 2
HAS_PEER = find_spec("stable_audio_tools") is not None
OURS, PEER = "ours", "stable-audio-tools"
CODER = {"channels": 16, "c_mults": [1, 2, 4], "strides": [4, 4, 8], "use_snake": True}
SIZES = [2048, 1024, 512, 256, 128]
QUARTERS = [size // 4 for size in SIZES]

AUTOENCODER = {
    "model_type": "autoencoder",
    "sample_rate": 44100,
    "sample_size": 16384,
    "audio_channels": 2,
    "model": {
        "encoder": {"type": "oobleck", "config": {**CODER, "in_channels": 2, "latent_dim": 64}},
        "decoder": {
            "type": "oobleck",
            "config": {**CODER, "out_channels": 2, "latent_dim": 32, "final_tanh": False},
        },
        "bottleneck": {"type": "vae"},
        "latent_dim": 32,
        "downsampling_ratio": 128,
        "io_channels": 2,
    },
    "training": {
        "learning_rate": 1e-4,
        "use_ema": True,
        "loss_configs": {
            "discriminator": {
                "type": "encodec",
                "config": {
                    "filters": 8,
                    "n_ffts": SIZES[:3],
                    "hop_lengths": QUARTERS[:3],
                    "win_lengths": SIZES[:3],
                },
                "weights": {"adversarial": 0.1, "feature_matching": 5.0},
            },
            "spectral": {
                "type": "mrstft",
                "config": {
                    "fft_sizes": SIZES,
                    "hop_sizes": QUARTERS,
                    "win_lengths": SIZES,
                    "perceptual_weighting": True,
                },
                "weights": {"mrstft": 1.0},
            },
            "time": {"type": "l1", "weights": {"l1": 0.1}},
        },
    },
}

SECONDS = {"type": "number", "config": {"min_val": 0, "max_val": 512}}
DIFFUSION = {
    "model_type": "diffusion_cond",
    "sample_rate": 44100,
    "sample_size": 256,
    "audio_channels": 2,
    "model": {
        "io_channels": 32,
        "conditioning": {"cond_dim": 256, "configs": [{"id": "seconds_total", **SECONDS}]},
        "diffusion": {
            "type": "dit",
            "diffusion_objective": "v",
            "cross_attention_cond_ids": ["seconds_total"],
            "global_cond_ids": ["seconds_total"],
            "config": {
                "io_channels": 32,
                "embed_dim": 256,
                "depth": 6,
                "num_heads": 4,
                "cond_token_dim": 256,
                "global_cond_dim": 256,
                "transformer_type": "continuous_transformer",
            },
        },
    },
    "training": {"learning_rate": 1e-4, "pre_encoded": True, "cfg_dropout_prob": 0.1},
}

QUANTIZER = {"input_dim": 8, "n_codebooks": 4, "codebook_size": 256, "codebook_dim": 4}
SMALL = {"channels": 4, "c_mults": [1, 2], "strides": [4, 8]}
LANGUAGE = {
    "model_type": "lm",
    "sample_rate": 44100,
    "sample_size": 8192,
    "audio_channels": 1,
    "model": {
        "pretransform": {
            "type": "autoencoder",
            "config": {
                "encoder": {
                    "type": "oobleck",
                    "config": {**SMALL, "in_channels": 1, "latent_dim": 8},
                },
                "decoder": {
                    "type": "oobleck",
                    "config": {**SMALL, "out_channels": 1, "latent_dim": 8},
                },
                "bottleneck": {"type": "dac_rvq", "config": QUANTIZER},
                "latent_dim": 8,
                "downsampling_ratio": 32,
                "io_channels": 1,
            },
        },
        "lm": {
            "type": "continuous_transformer",
            "codebook_pattern": "delay",
            "config": {"embed_dim": 256, "depth": 6},
        },
    },
    "training": {"learning_rate": 1e-4, "pre_encoded": True},
}


class Batches(torch.utils.data.IterableDataset):
    """The same batch over and over."""

    def __init__(self, batch: object) -> None:
        self.batch = batch

    def __iter__(self):  # noqa: ANN204 - an endless generator
        while True:
            yield self.batch


class Clock(pl.Callback):
    """Time from the start of a batch to that of the next."""

    def __init__(self) -> None:
        self.starts: list[float] = []

    def on_train_batch_start(self, *_: object) -> None:
        """Note the time."""
        self.starts.append(time.perf_counter())

    def durations(self) -> list[float]:
        """Seconds of each step but the first ones."""
        pairs = zip(self.starts, self.starts[1:], strict=False)
        return [after - before for before, after in pairs][SKIPPED:]


class Share:
    """Time spent in loss, backward and optimizer of our method."""

    def __init__(self, method: pl.LightningModule) -> None:
        self.seconds = 0.0
        for name in ("losses", "manual_backward", "_update"):
            setattr(method, name, self._timed(getattr(method, name)))

    def _timed(self, function):  # noqa: ANN001, ANN202 - any method
        def run(*args: object) -> object:
            start = time.perf_counter()
            try:
                return function(*args)
            finally:
                self.seconds += time.perf_counter() - start

        return run


def fit(
    module: pl.LightningModule, batch: object, steps: int, *callbacks: pl.Callback
) -> list[float]:
    """Seconds per step of some steps in Lightning's loop."""
    clock = Clock()
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=steps,
        logger=False,
        callbacks=[clock, *callbacks],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, torch.utils.data.DataLoader(Batches(batch), batch_size=None))
    return clock.durations()


def batches(kind: str, generator: torch.Generator) -> tuple[Batch, tuple]:
    """The same data as ours and as stable-audio-tools' batch."""
    if kind == "lm":
        codes = torch.randint(256, (4, 4, 256), generator=generator)
        values, cls = codes, CodeBatch
    elif kind == "diffusion_cond":
        values, cls = torch.randn(4, 32, 256, generator=generator), LatentBatch
    else:
        values, cls = 0.1 * torch.randn(2, 2, 16384, generator=generator), AudioBatch
    mask = torch.ones(values.shape[0], values.shape[-1], dtype=torch.bool)
    metadata = {"seconds_total": 11}
    items = tuple(Item(str(n), str(n), 0, 0, 11, metadata=metadata) for n in range(len(values)))
    theirs = tuple({**metadata, "padding_mask": row[None]} for row in mask)
    return cls(values, mask, items), (values, theirs)


def build_ours(document: dict) -> pl.LightningModule:
    """Our training method."""
    import sat_models.builtin  # noqa: F401 - builders, where it is on a path, not installed
    import sat_train.audio.builders  # noqa: F401 - the packages may be on the path, uninstalled
    from sat_models.build import build_model
    from sat_train.family import build_training

    experiment = sat_config.decode(document)
    return build_training(experiment, model=build_model(experiment))


def build_theirs(document: dict) -> pl.LightningModule:
    """The wrapper of stable-audio-tools."""
    from stable_audio_tools.models import create_model_from_config
    from stable_audio_tools.training import create_training_wrapper_from_config

    config = copy.deepcopy(document)
    model = create_model_from_config(config)
    if document["model_type"] == "lm":
        transformer = model.lm.backbone.model
        forward = transformer.forward

        def without_masks(x, *, mask, prepend_mask, **rest):  # noqa: ANN001, ANN003, ANN202 - SAT's call
            return forward(x, **rest)

        transformer.forward = without_masks
    return create_training_wrapper_from_config(config, model)


def compare(document: dict, *, steps: int, rounds: int) -> None:
    """Measure one kind of training and print it."""
    kind = document["model_type"]
    ours = build_ours(document)
    theirs = build_theirs(document) if HAS_PEER else None
    batch, their_batch = batches(kind, torch.Generator().manual_seed(0))
    share = Share(ours)
    own: list[float] = []
    peer: list[float] = []
    spent = total = 0.0
    for _ in range(rounds):
        if theirs is not None:
            peer += fit(theirs, their_batch, steps)
        share.seconds, start = 0.0, time.perf_counter()
        own += fit(ours, batch, steps)
        spent, total = spent + share.seconds, total + time.perf_counter() - start
    print(kind)
    print(f"  ours                  {1 / statistics.median(own):8.2f} steps/s")
    if peer:
        ratio = statistics.median(peer) / statistics.median(own)
        print(f"  stable-audio-tools    {1 / statistics.median(peer):8.2f} steps/s")
        print(f"  ours over theirs      {ratio:8.2f}")
    print(
        f"  outside of loss, backward and optimizer {100 * (1 - spent / total):5.1f} % of the time"
    )


def alone(whose: str, document: dict, *, spawned: float) -> None:
    """Take three steps in this process and print when the first was done, and the memory."""
    build = build_ours if whose == OURS else build_theirs
    own, other = batches(document["model_type"], torch.Generator().manual_seed(0))
    first: list[float] = []

    class Watch(pl.Callback):
        def on_train_batch_end(self, *_: object) -> None:
            first.append(time.time() - spawned)

    fit(build(document), own if whose == OURS else other, 3, Watch())
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"first": first[0], "peak": peak}))


def from_the_start(document: dict, *, threads: int, rounds: int) -> None:
    """Start either in turns, and print the best time to the first step, and the memory."""
    kind = document["model_type"]
    print(kind)
    found: dict[str, list[dict]] = {}
    for _ in range(rounds):
        for whose in (PEER, OURS) if HAS_PEER else (OURS,):
            words = ["--threads", str(threads), "--alone", whose, kind, repr(time.time())]
            out = subprocess.run(
                (sys.executable, __file__, *words), check=True, capture_output=True, text=True
            ).stdout
            found.setdefault(whose, []).append(json.loads(out.splitlines()[-1]))
    for whose, runs in sorted(found.items()):
        first = min(run["first"] for run in runs)
        peak = min(run["peak"] for run in runs)
        print(f"  {whose:<20}  first step after {first:5.1f} s, at most {peak / 1e9:.2f} GB")


def main() -> None:
    """Measure autoencoders with a discriminator, diffusion and language models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=10, help="steps per round, 4 at least")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--first-step", action="store_true", help="each in a process of its own")
    parser.add_argument("--alone", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    documents = {one["model_type"]: one for one in (AUTOENCODER, DIFFUSION, LANGUAGE)}
    if arguments.alone:
        whose, kind, spawned = arguments.alone
        alone(whose, documents[kind], spawned=float(spawned))
        return
    for document in documents.values():
        if arguments.first_step:
            from_the_start(document, threads=arguments.threads, rounds=arguments.rounds)
        else:
            compare(document, steps=arguments.steps, rounds=arguments.rounds)


if __name__ == "__main__":
    main()
