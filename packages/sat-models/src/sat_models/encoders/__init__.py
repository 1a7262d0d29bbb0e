"""Encoders: waveform to latents."""
