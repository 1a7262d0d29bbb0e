"""Train audio generative models from one experiment file.

`fit(experiment)` does it all. Importing this package does not import torch; calling `fit` does.
"""

from sat_train.fit import fit
from sat_train.result import RunResult

__all__ = ["RunResult", "fit"]
