"""Building blocks of networks: plain numbers in, no configuration."""
