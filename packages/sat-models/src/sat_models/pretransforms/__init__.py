"""Pretransforms: the frozen first stage of a latent model."""
