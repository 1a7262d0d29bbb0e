"""Decoders: latents to waveform."""
