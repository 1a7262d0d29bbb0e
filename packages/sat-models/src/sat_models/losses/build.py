"""From the loss blocks of a configuration to losses."""

from sat_config.audio.loss import (
    EvalMel,
    EvalSTFT,
    HubertConfig,
    MelConfig,
    SpectralConfig,
    SpectrumConfig,
)
from sat_models.losses.bands import mel_bands
from sat_models.losses.features import SpeechFeatureLoss, load_speech_network
from sat_models.losses.mel import MultiResolutionMelLoss
from sat_models.losses.stft import MultiResolutionSTFTLoss, SpectralTerms, STFTLoss
from sat_models.losses.weighting import AWeighting


def build_spectral_loss(node: SpectralConfig, *, sample_rate: int) -> MultiResolutionSTFTLoss:
    """The spectral loss of autoencoder training, for signals of `sample_rate` Hz."""
    band_counts = node.n_bins or [None] * len(node.fft_sizes)
    return MultiResolutionSTFTLoss(
        [
            _stft_loss(
                node, sizes=sizes, num_bands=num_bands, sample_rate=sample_rate, weighting=None
            )
            for *sizes, num_bands in zip(
                node.fft_sizes, node.hop_sizes, node.win_lengths, band_counts, strict=True
            )
        ],
        weighting=_weighting(node, sample_rate),
    )


def build_stft_measure(node: EvalSTFT, *, sample_rate: int) -> STFTLoss:
    """The distance of spectra that a validation reports, at the node's own sample rate if any."""
    rate = node.sample_rate or sample_rate
    return _stft_loss(
        node,
        sizes=[node.fft_size, node.hop_size, node.win_length],
        num_bands=node.n_bins if node.scale else None,
        sample_rate=rate,
        weighting=_weighting(node, rate),
    )


def build_mel_measure(node: EvalMel, *, sample_rate: int) -> STFTLoss:
    """The distance of mel spectra that a validation reports."""
    return _stft_loss(
        node,
        sizes=[node.fft_size, node.hop_size, node.win_length],
        num_bands=node.n_mels,
        sample_rate=sample_rate,
        weighting=_weighting(node, sample_rate),
    )


def build_mel_loss(node: MelConfig, *, sample_rate: int) -> MultiResolutionMelLoss:
    """The mel loss of autoencoder training."""
    return MultiResolutionMelLoss(
        sample_rate=sample_rate,
        num_bands=node.n_mels,
        win_lengths=node.window_lengths,
        exponent=node.pow,
        log_weight=node.log_weight,
        magnitude_weight=node.mag_weight,
    )


def build_speech_loss(node: HubertConfig) -> SpeechFeatureLoss:
    """The feature loss of autoencoder training.

    Raises:
        CheckpointError: The network's weights are not in torch's cache.
    """
    return SpeechFeatureLoss(load_speech_network(node.model_name), layers=node.feature_ids)


def spectral_terms(node: SpectrumConfig) -> SpectralTerms:
    """What a node says about the terms of a spectral distance."""
    return SpectralTerms(
        convergence=node.w_sc,
        log_magnitude=node.w_log_mag,
        linear_magnitude=node.w_lin_mag,
        phase=node.w_phs,
        distance=node.mag_distance,
        floor=node.eps,
        log_factor=node.log_fac,
        log_offset=node.log_eps,
        scale_invariant=node.scale_invariance,
        reduction=node.reduction,
        per_signal=node.retain_batch_dim,
    )


def _stft_loss(
    node: SpectrumConfig,
    *,
    sizes: list[int],
    num_bands: int | None,
    sample_rate: int,
    weighting: AWeighting | None,
) -> STFTLoss:
    fft_size, hop_size, win_length = sizes
    bands = None
    if num_bands is not None:
        bands = mel_bands(sample_rate=sample_rate, fft_size=fft_size, num_bands=num_bands)
    return STFTLoss(
        fft_size=fft_size,
        hop_size=hop_size,
        win_length=win_length,
        window=node.window,
        terms=spectral_terms(node),
        bands=bands,
        weighting=weighting,
    )


def _weighting(node: SpectrumConfig, sample_rate: int) -> AWeighting | None:
    return AWeighting(sample_rate=sample_rate) if node.perceptual_weighting else None
