"""Distance of what a network that learned speech by itself makes of two signals."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torchaudio
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torchaudio.models import Wav2Vec2Model

from sat_models.errors import CheckpointError

SPREAD_EPSILON = 1e-5
CONVOLUTIONS = (-1,)

SPEECH_NETWORKS: dict[str, tuple[Callable[[], Wav2Vec2Model], str]] = {
    "HUBERT_LARGE": (torchaudio.models.hubert_large, "hubert_fairseq_large_ll60k.pth"),
    "WAVLM_LARGE": (torchaudio.models.wavlm_large, "wavlm_large.pth"),
    "WAV2VEC2_LARGE_LV60K": (
        torchaudio.models.wav2vec2_large_lv60k,
        "wav2vec2_fairseq_large_lv60k.pth",
    ),
}
"""Architecture and weight file of each, under the names of torchaudio's pipelines."""


class SpeechFeatureLoss(nn.Module):
    """Mean absolute difference of features over the spread of the target's, averaged over layers.

    Every channel counts as a signal. The whole batch is brought to mean 0 and variance 1 at once,
    as torchaudio does for these networks, which learned from speech at 16 kHz; like SAT this does
    not resample. The network is frozen and stays in eval mode. Deviation: SAT lets it drop out
    units at random whenever the model around it trains.

    Args:
        network: One of torchaudio's, with weights.
        layers: Numbers of the transformer layers to compare; all of them if None, the convolutional
            features alone if it is `CONVOLUTIONS`.
    """

    def __init__(self, network: Wav2Vec2Model, *, layers: Sequence[int] | None) -> None:
        super().__init__()
        self.network = network.requires_grad_(False).eval()
        self.layers = None if layers is None else tuple(layers)

    def train(self, mode: bool = True) -> "SpeechFeatureLoss":
        """Set the mode of this module; the network's stays."""
        self.training = mode
        return self

    def forward(
        self, input: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"]
    ) -> Float[Tensor, ""]:
        """The distance, differentiable in both arguments."""
        pairs = zip(self._features(input), self._features(target), strict=True)
        return torch.stack(
            [(x - y).abs().mean() / (y.std() + SPREAD_EPSILON) for x, y in pairs]
        ).mean()

    def _features(self, audio: Float[Tensor, "b c t"]) -> list[Tensor]:
        signals = audio.flatten(0, 1)
        signals = functional.layer_norm(signals, signals.shape)
        if self.layers == CONVOLUTIONS:
            return [self.network.feature_extractor(signals, None)[0]]
        features: list[Tensor] = self.network.extract_features(signals)[0]
        return features if self.layers is None else [features[layer] for layer in self.layers]


def load_speech_network(name: str) -> Wav2Vec2Model:
    """One of `SPEECH_NETWORKS` with its weights, which must lie in torch's cache already.

    Raises:
        CheckpointError: The file is not there; nothing is fetched.
    """
    make, file = SPEECH_NETWORKS[name]
    path = Path(torch.hub.get_dir()) / "checkpoints" / file
    if not path.is_file():
        raise CheckpointError(
            f"the weights of {name} are not at {path}; put the file {file} there, which"
            f" torchaudio.pipelines.{name}.get_model() fetches, or set the loss's weight to 0"
        )
    network = make()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network
