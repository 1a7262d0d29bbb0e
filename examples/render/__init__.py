"""A small software studio: notation, voices, mixing and the tunes written for them."""
