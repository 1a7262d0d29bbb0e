"""Train audio generative models from one experiment file.

`fit(experiment)` does it all. Importing this package does not import torch: `fit` does, when called.
"""

from sat_train.fit import fit
from sat_train.result import RunResult

__all__ = ["RunResult", "fit"]
