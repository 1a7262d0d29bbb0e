"""New audio from a trained model, as the `[inference]` table of a configuration asks for it."""

from sat_models.generation.generate import Generated, generate

__all__ = ["Generated", "generate"]
