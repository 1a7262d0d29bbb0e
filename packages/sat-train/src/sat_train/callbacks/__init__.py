"""What happens around the steps: records, validation, checkpoints, demos, signals."""
