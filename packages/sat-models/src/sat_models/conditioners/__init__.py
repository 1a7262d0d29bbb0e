"""Conditioners: from metadata to embeddings."""
