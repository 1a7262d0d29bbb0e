"""The page on which a run explains itself, and the one that compares runs."""
