"""What pre-encoding needs beyond the run keys."""

from __future__ import annotations

from typing import Literal

from sat_config.node import CheckpointPath, Node, OutputPath, Positive


class Preencode(Node, kw_only=True):
    """Encoding of a dataset to latents.

    Attributes:
        output_path: Folder of the latents and their manifest.
        checkpoint: Weights of the autoencoder.
        sample_size: Samples per item; the model's `sample_size` if left out.
        latent: Keep a sample of a Gaussian latent (seeded per item) or its mean.
    """

    output_path: OutputPath
    checkpoint: CheckpointPath | None = None
    sample_size: Positive | None = None
    latent: Literal["sample", "mean"] = "sample"
