"""Bottlenecks: what latents must pass between encoder and decoder."""
