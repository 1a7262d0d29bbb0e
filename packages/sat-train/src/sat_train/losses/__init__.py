"""Losses of training and the distance that validation reports."""
