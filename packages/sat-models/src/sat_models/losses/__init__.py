"""Distances between signals, spectra and latents, as functions and modules without weights."""
