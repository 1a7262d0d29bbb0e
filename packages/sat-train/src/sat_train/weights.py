"""The weights that training starts from."""

import torch
from torch import nn

from sat_config import Experiment, UserError
from sat_models.checkpoint import load_weights, open_checkpoint
from sat_models.layers.weight_norm import fold_weight_norm
from sat_train.family import Method
from sat_train.report import Report
from sat_train.resume import Resume

PRETRANSFORM = "pretransform"


def load_initial_weights(model: nn.Module, experiment: Experiment, *, report: Report) -> None:
    """Load what `pretrained_ckpt_path` and `pretransform_ckpt_path` name, and say what matched.

    Raises:
        CheckpointError: A file cannot be found, read or matched.
        UserError: A pretransform would keep random weights, or weights are given for none.
    """
    whole, first_stage = experiment.pretrained_ckpt_path, experiment.pretransform_ckpt_path
    has_first_stage = any(
        name.startswith(f"{PRETRANSFORM}.") for name, _ in model.named_parameters()
    )
    if first_stage is not None and not has_first_stage:
        raise UserError(
            "pretransform_ckpt_path is set, but the model has no pretransform with weights: remove"
            " the key, or give the model a pretransform"
        )
    if has_first_stage and whole is None and first_stage is None:
        if not experiment.allow_random_pretransform:
            raise UserError(
                "the model's pretransform would keep random weights, and what is trained on its"
                " output would be worthless: set pretransform_ckpt_path to a checkpoint of the"
                " autoencoder, or pretrained_ckpt_path to one of the whole model (or"
                " allow_random_pretransform, to try things out)"
            )
        report.fact("weights", "the pretransform's are random")
    for key, path, module in (
        ("whole model", whole, model),
        ("pretransform", first_stage, getattr(model, PRETRANSFORM, None)),
    ):
        if path is not None and module is not None:
            loaded = load_weights(module, open_checkpoint(path))
            report.fact("weights", f"{key} from {loaded}")


def load_resumed_weights(method: Method, resume: Resume) -> None:
    """Load the weights of a training state now, so that the data can be checked against them.

    Raises:
        UserError: The model has other weights than the checkpoint.
    """
    content = torch.load(resume.path, map_location="cpu", mmap=True, weights_only=True)
    try:
        method.load_state_dict(content["state_dict"])
    except RuntimeError as error:
        raise UserError(f"training cannot continue from {resume.path}: {error}") from error


def fold_pretransform(model: nn.Module, experiment: Experiment) -> None:
    """Do what `remove_pretransform_weight_norm` says.

    A checkpoint loads whether its weights are folded or not, so before and after loading are the
    same thing.

    Raises:
        UserError: There is no pretransform.
    """
    if experiment.remove_pretransform_weight_norm is None:
        return
    pretransform = getattr(model, PRETRANSFORM, None)
    if pretransform is None:
        raise UserError(
            "remove_pretransform_weight_norm is set, but the model has no pretransform: remove the"
            " key"
        )
    setattr(model, PRETRANSFORM, fold_weight_norm(pretransform))
