"""What pretransforms without weights have in common."""

from sat_models.pretransforms.base import Pretransform


class FixedPretransform(Pretransform):
    """A pretransform that is a fixed formula; gradients pass it in both directions."""

    def __init__(self, *, channels: int, latent_dim: int, hop_length: int) -> None:
        super().__init__(enable_grad=False)
        self.channels, self.latent_dim, self.hop_length = channels, latent_dim, hop_length
        self.scale = 1.0
        self.eval()
