"""Datasets and the batches that they yield."""
