"""Networks that learn to tell what a model made from what was recorded."""
