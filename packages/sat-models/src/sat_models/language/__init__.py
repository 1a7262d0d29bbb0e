"""Language models over the codes of discrete autoencoders."""
