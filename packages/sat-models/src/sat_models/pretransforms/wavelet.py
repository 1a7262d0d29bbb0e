"""A biorthogonal wavelet transform (Cohen, Daubechies and Feauveau 1992)."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sat_config.audio.pretransform import WaveletNode
from sat_models.pretransforms.base import build_pretransform
from sat_models.pretransforms.fixed import FixedPretransform

# The filters are symmetric: from the first coefficient to the middle one. Names and values are
# those of PyWavelets, which holds them as tables too.
_ANALYSIS = {
    "bior2.2": (-0.1767766952966369, 0.3535533905932738, 1.0606601717798212),
    "bior2.4": (
        0.03314563036811941,
        -0.06629126073623882,
        -0.1767766952966369,
        0.4198446513295126,
        0.9943689110435825,
    ),
    "bior2.6": (
        -0.006905339660024878,
        0.013810679320049757,
        0.04695630968816917,
        -0.1077232986963881,
        -0.16987135563661201,
        0.4474660099696121,
        0.966747552403483,
    ),
    "bior2.8": (
        0.0015105430506304422,
        -0.0030210861012608843,
        -0.012947511862546647,
        0.02891610982635418,
        0.05299848189069094,
        -0.13491307360773605,
        -0.16382918343409023,
        0.46257144047591653,
        0.9516421218971786,
    ),
    "bior4.4": (
        0.03782845550726404,
        -0.023849465019556843,
        -0.11062440441843718,
        0.37740285561283066,
        0.8526986790088938,
    ),
    "bior6.8": (
        0.0019088317364812906,
        -0.0019142861290887667,
        -0.016990639867602342,
        0.01193456527972926,
        0.04973290349094079,
        -0.07726317316720414,
        -0.09405920349573646,
        0.4207962846098268,
        0.8259229974584023,
    ),
}
_SPLINE = (0.3535533905932738, 0.7071067811865476)
_SYNTHESIS = {
    "bior2.2": _SPLINE,
    "bior2.4": _SPLINE,
    "bior2.6": _SPLINE,
    "bior2.8": _SPLINE,
    "bior4.4": (
        -0.06453888262869706,
        -0.04068941760916406,
        0.41809227322161724,
        0.7884856164055829,
    ),
    "bior6.8": (
        0.014426282505624435,
        0.014467504896790148,
        -0.07872200106262882,
        -0.04036797903033992,
        0.41784910915027457,
        0.7589077294536541,
    ),
}


class WaveletPretransform(FixedPretransform):
    """Each level splits the lowest band into a lower and an upper half at half the rate.

    Bands that are split already are folded in time, so that all have one rate: a channel per audio
    channel and band. What lies beyond the ends is mirrored; away from them, decoding undoes
    encoding.
    """

    def __init__(self, *, channels: int, levels: int, wavelet: str) -> None:
        """Create the filters.

        Args:
            channels: Channels of the audio.
            levels: How often to split.
            wavelet: One of the names in the tables above.
        """
        bands = 2**levels
        super().__init__(channels=channels, latent_dim=channels * bands, hop_length=bands)
        self.levels = levels
        analysis, synthesis = _filters(wavelet)
        self.encoder = _Filters(analysis.flip(-1), channels=channels)
        self.decoder = _Filters(synthesis, channels=channels)

    def encode(
        self,
        audio: Float[Tensor, "b c t"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "b d l"]:
        """Split audio into bands; nothing is drawn.

        Raises:
            ValueError: The length is no multiple of `hop_length`.
        """
        if audio.shape[-1] % self.hop_length:
            raise ValueError(
                f"expected a length that {self.hop_length} divides, got {audio.shape[-1]} samples"
            )
        kernel, channels = self.encoder.kernel, self.channels
        taps = kernel.shape[-1]
        bands = audio
        for _ in range(self.levels):
            low, rest = bands[:, :channels], bands[:, channels:]
            padded = functional.pad(low, (taps // 2, taps // 2), mode="reflect")
            split = functional.conv1d(padded, kernel, stride=2)
            folded = rearrange(rest, "b (d c) (l two) -> b (d two c) l", two=2, c=channels)
            bands = torch.cat([split, folded], dim=1)
        return bands

    def decode(self, latents: Float[Tensor, "b d l"]) -> Float[Tensor, "b c t"]:
        """Join bands to audio."""
        kernel, channels = self.decoder.kernel, self.channels
        taps = kernel.shape[-1]
        edge = taps // 2 + 2
        bands = latents
        for _ in range(self.levels):
            split, folded = bands[:, : 2 * channels], bands[:, 2 * channels :]
            woven = rearrange(split, "b (two c) l -> b c (l two)", two=2)
            woven = functional.pad(woven, (edge, edge), mode="reflect")
            split = rearrange(woven, "b c (l two) -> b (two c) l", two=2)
            low = functional.conv_transpose1d(split, kernel, stride=2, padding=taps // 2)
            low = low[..., edge - 1 : -edge]
            rest = rearrange(folded, "b (d two c) l -> b (d c) (l two)", two=2, c=channels)
            bands = torch.cat([low, rest], dim=1)
        return bands


class _Filters(nn.Module):
    """A pair of filters for every channel; SAT's state dict has them below this module's name."""

    kernel: Tensor

    def __init__(self, pair: Float[Tensor, "two k"], *, channels: int) -> None:
        super().__init__()
        every = torch.eye(channels)[None, :, :, None] * pair[:, None, None]  # two c c k
        self.register_buffer("kernel", every.flatten(0, 1))


def _filters(wavelet: str) -> tuple[Float[Tensor, "two k"], Float[Tensor, "two k"]]:
    """The low-pass and high-pass filters of analysis, and those of synthesis.

    Both are as long as the analysis low-pass; the shorter one lies a coefficient left of its
    middle. Either high-pass is the other one's low-pass with alternating signs.
    """
    low = _whole(_ANALYSIS[wavelet])
    other = _whole(_SYNTHESIS[wavelet])
    left = len(low) // 2 - 1 - len(other) // 2
    other = functional.pad(other, (left, len(low) - len(other) - left))
    signs = torch.ones(len(low))
    signs[1::2] = -1
    return torch.stack([low, signs * other]), torch.stack([other, -signs * low])


def _whole(half: tuple[float, ...]) -> Float[Tensor, " k"]:
    return torch.tensor([*half, *reversed(half[:-1])])


@build_pretransform.register
def _(node: WaveletNode, *, sample_rate: int) -> WaveletPretransform:
    config = node.config
    return WaveletPretransform(
        channels=config.channels, levels=config.levels, wavelet=config.wavelet
    )
