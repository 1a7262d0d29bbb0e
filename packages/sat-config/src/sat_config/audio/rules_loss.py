"""What must fit together in losses, discriminators and measures."""

from collections.abc import Iterator, Sequence

from sat_config.audio.discriminator import DACDiscriminatorConfig, EncodecDiscriminatorConfig
from sat_config.audio.loss import EvalMel, EvalSTFT, MelLoss, SpectralConfig, SpectrumConfig
from sat_config.audio.seanet import ACTIVATION_KEYS
from sat_config.rules import Broken, rule

# ---------------------------------------------------------------------------------------- spectra


@rule("SAT-E043", on=SpectralConfig, reads=("fft_sizes", "hop_sizes", "win_lengths"))
def resolutions(node: SpectralConfig) -> Iterator[Broken]:
    """Every resolution has an FFT size, a hop and a window no longer than the FFT."""
    yield from _resolutions(
        fft_sizes=node.fft_sizes, hop_sizes=node.hop_sizes, win_lengths=node.win_lengths
    )


def _resolutions(**lists: Sequence[int]) -> Iterator[Broken]:
    """The lists are FFT sizes, hops and windows, in this order."""
    (sizes_key, sizes), (hops_key, hops), (windows_key, windows) = lists.items()
    if len({len(sizes), len(hops), len(windows)}) > 1:
        yield Broken(
            f"{len(sizes)} {sizes_key}, {len(hops)} {hops_key} and {len(windows)} {windows_key};"
            " each resolution needs one of each",
            (sizes_key,),
        )
    for number, (fft, window) in enumerate(zip(sizes, windows, strict=False)):
        if window > fft:
            yield Broken(
                f"a window of {window} samples does not fit an FFT of {fft}",
                (windows_key, number),
                str(fft),
            )


@rule("SAT-E212", on=SpectralConfig, reads=("scale", "n_bins", "fft_sizes"))
def bands(node: SpectralConfig) -> Iterator[Broken]:
    """Mel scaling has a number of bands for each resolution, and no more than FFT bins."""
    if node.scale is None:
        if node.n_bins is not None:
            yield Broken("n_bins has no effect without scale", ("scale",), '"mel"')
        return
    if node.n_bins is None:
        yield Broken(
            f"scale needs n_bins, one number for each of the {len(node.fft_sizes)} resolutions",
            ("n_bins",),
        )
    elif len(node.n_bins) != len(node.fft_sizes):
        yield Broken(
            f"{len(node.n_bins)} n_bins for {len(node.fft_sizes)} resolutions", ("n_bins",)
        )
    else:
        for number, (count, fft) in enumerate(zip(node.n_bins, node.fft_sizes, strict=True)):
            if count > fft:
                yield Broken(f"{count} bands of an FFT of {fft}", ("n_bins", number), str(fft))


@rule("SAT-E224", on=EvalSTFT, reads=("scale", "n_bins", "fft_size"))
def scaled_measure(node: EvalSTFT) -> Iterator[Broken]:
    """A measure that hears in bands knows how many, and no more than there are FFT bins."""
    if node.scale and node.n_bins is None:
        yield Broken("scale needs n_bins", ("n_bins",))
    if node.n_bins is not None and node.n_bins > node.fft_size:
        yield Broken(
            f"{node.n_bins} bands of an FFT of {node.fft_size}", ("n_bins",), str(node.fft_size)
        )


@rule(
    "SAT-W224",
    on=EvalSTFT,
    reads=("scale", "sample_rate", "perceptual_weighting"),
    severity="warning",
)
def rate_of_measure(node: EvalSTFT) -> Iterator[Broken]:
    """A measure that hears in bands, or as an ear does, names the sample rate, as SAT requires."""
    settings = {"scale": node.scale, "perceptual_weighting": node.perceptual_weighting}
    if node.sample_rate is None and (users := [name for name, used in settings.items() if used]):
        yield Broken(
            f"stable-audio-tools needs sample_rate for {' and '.join(users)}; here it is that of"
            " the audio",
            ("sample_rate",),
        )


@rule("SAT-E226", on=SpectrumConfig, reads=("fft_size", "win_length"))
def window_of_measure(node: SpectrumConfig) -> Iterator[Broken]:
    """A window is no longer than the FFT."""
    if isinstance(node, EvalSTFT | EvalMel) and node.win_length > node.fft_size:
        yield Broken(
            f"a window of {node.win_length} samples does not fit an FFT of {node.fft_size}",
            ("win_length",),
            str(node.fft_size),
        )


@rule("SAT-E211", on=MelLoss, reads=("weights.mrmel", "config"))
def mel_resolutions(node: MelLoss) -> Iterator[Broken]:
    """A mel loss with a weight has resolutions, each with a window and a number of bands."""
    if node.config is None:
        if node.weights.mrmel > 0:
            yield Broken(f"a weight of {node.weights.mrmel}, but no config", ("config",))
        return
    mels, windows = len(node.config.n_mels), len(node.config.window_lengths)
    if mels != windows:
        yield Broken(
            f"{mels} n_mels for {windows} window_lengths; each resolution needs one of both",
            ("config", "n_mels"),
        )


# --------------------------------------------------------------------------------- discriminators


@rule(
    "SAT-E045",
    on=EncodecDiscriminatorConfig,
    reads=("n_ffts", "hop_lengths", "win_lengths"),
)
def encodec_resolutions(node: EncodecDiscriminatorConfig) -> Iterator[Broken]:
    """Every resolution of a discriminator has an FFT size, a hop and a window that fits."""
    yield from _resolutions(
        n_ffts=node.n_ffts, hop_lengths=node.hop_lengths, win_lengths=node.win_lengths
    )


@rule(
    "SAT-W045",
    on=EncodecDiscriminatorConfig,
    reads=("filters", "max_filters", "filters_scale"),
    severity="warning",
)
def encodec_widths(node: EncodecDiscriminatorConfig) -> Iterator[Broken]:
    """The convolutions of a discriminator are equally wide, or SAT's do not fit each other."""
    if node.filters_scale != 1:
        yield Broken(
            f"filters_scale is {node.filters_scale}; stable-audio-tools cannot run such a"
            " discriminator, whose second convolution takes as many channels as its first gives",
            ("filters_scale",),
            "1",
        )
    if node.filters > node.max_filters:
        yield Broken(
            f"{node.filters} filters, of which max_filters leaves {node.max_filters};"
            " stable-audio-tools cannot run such a discriminator",
            ("filters",),
            str(node.max_filters),
        )


@rule("SAT-E213", on=EncodecDiscriminatorConfig, reads=("activation", "activation_params"))
def encodec_activation(node: EncodecDiscriminatorConfig) -> Iterator[Broken]:
    """An activation gets only the parameters that it takes."""
    takes = ACTIVATION_KEYS.get(node.activation, ())
    params = node.activation_params
    given = [name for name in params.__struct_fields__ if getattr(params, name) is not None]
    if surplus := [name for name in given if name not in takes]:
        yield Broken(
            f"{node.activation} takes {' and '.join(takes) or 'no parameters'}, not"
            f" {' and '.join(surplus)}",
            ("activation_params",),
            "{}" if not takes else None,
        )


@rule("SAT-E217", on=DACDiscriminatorConfig, reads=("periods", "rates", "fft_sizes", "bands"))
def dac_parts(node: DACDiscriminatorConfig) -> Iterator[Broken]:
    """There is a network, and every band holds a bin of every spectrum."""
    if not (node.periods or node.rates or node.fft_sizes):
        yield Broken("no periods, no rates and no fft_sizes: there is no network", ("periods",))
    for number, (low, high) in enumerate(node.bands):
        for size in node.fft_sizes:
            bins = size // 2 + 1
            if int(low * bins) >= int(high * bins):
                yield Broken(
                    f"of {bins} bins of an FFT of {size}, the band from {low} to {high} holds none",
                    ("bands", number),
                )
                break


@rule("SAT-W217", on=DACDiscriminatorConfig, reads=("rates",), severity="warning")
def slowed_networks(node: DACDiscriminatorConfig) -> Iterator[Broken]:
    """There are no networks per rate, which SAT cannot build."""
    if node.rates:
        yield Broken(
            f"stable-audio-tools cannot build the {len(node.rates)} networks of rates", ("rates",)
        )
