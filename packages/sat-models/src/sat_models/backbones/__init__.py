"""Backbones: the networks inside diffusion models."""
