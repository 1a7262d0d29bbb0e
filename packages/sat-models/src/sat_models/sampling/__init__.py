"""Schedules, samplers and generation."""
