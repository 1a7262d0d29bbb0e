"""Training blocks, one per model type."""

from __future__ import annotations

from sat_config.audio.loss import AutoencoderLosses
from sat_config.node import Node, Positive, PositiveFloat


class AutoencoderDemo(Node, kw_only=True):
    """Reconstructions written during training.

    Attributes:
        demo_every: Steps between demos; one is also written at the end.
    """

    demo_every: Positive = 2000


class AutoencoderTraining(Node, kw_only=True):
    """Training of an autoencoder.

    Attributes:
        learning_rate: Step size of AdamW (betas 0.8 and 0.99).
        loss_configs: The losses and their weights.
        demo: Reconstructions written during training.
    """

    learning_rate: PositiveFloat
    loss_configs: AutoencoderLosses
    demo: AutoencoderDemo = AutoencoderDemo()


class DiffusionUncondDemo(Node, kw_only=True):
    """Samples written during training.

    Attributes:
        demo_every: Steps between demos; one is also written at the end.
        demo_steps: Steps of the sampler.
        num_demos: Samples per demo. SAT always writes 8.
    """

    demo_every: Positive = 2000
    demo_steps: Positive = 250
    num_demos: Positive = 8


class DiffusionUncondTraining(Node, kw_only=True):
    """Training of an unconditional diffusion model.

    Attributes:
        learning_rate: Step size of Adam.
        pre_encoded: Batches are latents, written by sat-preencode.
        demo: Samples written during training.
    """

    learning_rate: PositiveFloat
    pre_encoded: bool = False
    demo: DiffusionUncondDemo = DiffusionUncondDemo()
