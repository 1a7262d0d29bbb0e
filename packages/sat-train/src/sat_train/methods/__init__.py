"""Training methods: one LightningModule per way to train."""
