"""What pre-encoding needs beyond the run keys."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from sat_config.node import CheckpointPath, Node, NonNegative, OutputPath, Positive


class Preencode(Node, kw_only=True):
    """Encoding of a dataset to latents or tokens.

    SAT's pre_encode.py takes these as flags; batch size, workers and devices are the run keys.

    Attributes:
        output_path: Folder of the latents and their manifest.
        checkpoint: Weights of the autoencoder (`--ckpt-path`).
        sample_size: Samples per item, or per window of whole files; the model's `sample_size` if
            left out. SAT's default is 1320960, about 30 s.
        whole_files: Make one item of each file, however long, rather than items of equal length.
            Files go through the encoder in windows of `sample_size` samples.
        window_overlap: Latent frames that neighbouring windows of a whole file share. Each keeps
            half of them, so that a window's edges, which do not see what lies beyond, are left out:
            half of it has to be more than what a frame depends on.
        latent: What is kept of a Gaussian latent: a sample, seeded per item; its mean; or mean and
            scale, twice the channels, of which training draws a new sample each time.
        dtype: Number format of stored latents; float32 if left out, or what `model_half` makes.
            bfloat16, which numpy lacks, is stored as its bits in uint16.
        model_half: Run the encoder in float16 and keep float16 latents.
        is_discrete: Whether tokens are kept.
        format: What the latents are written to: `"wds"`, tar shards of `.npy` and `.json` as
            webdataset reads them, or `"sat"`, a folder per shard as SAT's own loader reads it.
        shard_size: Items per shard. A shard is what a process claims and what a restart makes again
            as a whole: more items make fewer files, and more is lost when a process dies.
        on_change: What happens to latents whose source, caption, weights or settings have changed
            since, or whose source is gone: nothing and an error, or they are encoded again and
            replaced.
        limit_batches: Stop after so many batches.
        shuffle: Encode in random order.
    """

    harmless_keys: ClassVar[tuple[str, ...]] = (
        "output_path",
        "format",
        "shard_size",
        "on_change",
        "limit_batches",
    )

    output_path: OutputPath
    checkpoint: CheckpointPath | None = None
    sample_size: Positive | None = None
    whole_files: bool = False
    window_overlap: NonNegative = 32
    latent: Literal["sample", "mean", "mean_scale"] = "sample"
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    model_half: bool = False
    is_discrete: Annotated[
        bool | None, Meta(extra={"inert": "the bottleneck itself says whether it makes tokens"})
    ] = None
    format: Literal["wds", "sat"] = "wds"
    shard_size: Positive = 256
    on_change: Literal["error", "encode"] = "error"
    limit_batches: Positive | None = None
    shuffle: Annotated[
        bool, Meta(extra={"inert": "every item is encoded exactly once, in a planned order"})
    ] = False
