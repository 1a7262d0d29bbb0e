"""Whole models, assembled from the families."""
