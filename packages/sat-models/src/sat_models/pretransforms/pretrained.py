"""Pretransforms that are of use only with weights that somebody has published."""

import torch
from torch import nn

from sat_models.errors import CheckpointError
from sat_models.pretransforms.base import Pretransform


class PretrainedPretransform(Pretransform):
    """A published codec, without its weights until they are loaded.

    Nothing is downloaded: weights come from a file, by `sat_models.checkpoint.load_weights`, alone
    or as a part of a whole model. Until then the codec refuses to work, since what it would do with
    random weights looks like success.

    Deviation from SAT: there weights are downloaded when the module is made.

    Attributes:
        sample_rate: Hz that the codec was trained for; nothing resamples.
    """

    sample_rate: int

    def __init__(self, *, name: str, enable_grad: bool) -> None:
        """Wait for weights.

        Args:
            name: What to call the codec in messages.
            enable_grad: Whether its weights are trained.
        """
        super().__init__(enable_grad=enable_grad)
        self.name = name
        self._loaded = False
        self.register_load_state_dict_post_hook(_note_weights)  # type: ignore[no-untyped-call]

    def require_weights(self) -> None:
        """Refuse to work without weights.

        Raises:
            CheckpointError: None were loaded.
        """
        if not self._loaded:
            raise CheckpointError(
                f"the weights of {self.name} have not been loaded, and nothing is downloaded; get"
                " the published file and name it as the checkpoint of the pretransform"
            )

    def freeze(self) -> None:
        """End a subclass's construction: eval mode, and no gradients unless they are wanted."""
        if not self.enable_grad:
            self.requires_grad_(False)
        self.eval()

    def gradients(self) -> torch.set_grad_enabled:
        """The context of everything that the weights take part in."""
        return torch.set_grad_enabled(self.enable_grad and torch.is_grad_enabled())


def _note_weights(module: nn.Module, incompatible: object) -> None:
    assert isinstance(module, PretrainedPretransform)  # noqa: S101 - registered above only
    module._loaded = True
