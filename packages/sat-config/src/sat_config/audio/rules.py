"""What must fit together in an audio document."""

from collections.abc import Iterator

from sat_config.audio.dataset import PreEncodedNode
from sat_config.audio.diffusion import DiTUncondNode
from sat_config.audio.experiment import AudioExperiment, DiffusionUncondExperiment
from sat_config.audio.loss import SpectralConfig
from sat_config.rules import Broken, rule


@rule("SAT-E020", on=DiTUncondNode, reads=("config.embed_dim", "config.num_heads"))
def head_width(node: DiTUncondNode) -> Iterator[Broken]:
    """The width divides into heads of at least 32 channels, which rotary positions need."""
    config = node.config
    if config.embed_dim % config.num_heads:
        yield Broken(
            f"embed_dim {config.embed_dim} does not divide into {config.num_heads} heads",
            ("config", "num_heads"),
        )
    elif config.embed_dim // config.num_heads < 32:
        yield Broken(
            f"heads are {config.embed_dim} / {config.num_heads} ="
            f" {config.embed_dim // config.num_heads} wide; rotary positions need at least 32",
            ("config", "num_heads"),
            str(max(1, config.embed_dim // 32)),
        )


@rule("SAT-E014", on=DiTUncondNode, reads=("config.in_channels", "pretransform"))
def backbone_channels(node: DiTUncondNode) -> Iterator[Broken]:
    """The backbone has the channels of the pretransform's latents."""
    want = node.pretransform.latent_dim if node.pretransform else None
    if want is not None and node.config.in_channels != want:
        yield Broken(
            f"the backbone has {node.config.in_channels} channels, the pretransform's latents"
            f" have {want}",
            ("config", "in_channels"),
            str(want),
        )


@rule("SAT-E043", on=SpectralConfig, reads=("fft_sizes", "hop_sizes", "win_lengths"))
def resolutions(node: SpectralConfig) -> Iterator[Broken]:
    """Every resolution has an FFT size, a hop and a window no longer than the FFT."""
    lengths = len(node.fft_sizes), len(node.hop_sizes), len(node.win_lengths)
    if len(set(lengths)) > 1:
        yield Broken(
            f"{lengths[0]} fft_sizes, {lengths[1]} hop_sizes and {lengths[2]} win_lengths;"
            " each resolution needs one of each",
            ("fft_sizes",),
        )
    for number, (fft, window) in enumerate(zip(node.fft_sizes, node.win_lengths, strict=False)):
        if window > fft:
            yield Broken(
                f"a window of {window} samples does not fit an FFT of {fft}",
                ("win_lengths", number),
                str(fft),
            )


@rule(
    "SAT-E041", on=DiffusionUncondExperiment, reads=("training.pre_encoded", "dataset.dataset_type")
)
def latents_or_audio(node: DiffusionUncondExperiment) -> Iterator[Broken]:
    """`training.pre_encoded` says truly whether the dataset holds latents."""
    if node.training is None or node.dataset is None:
        return
    holds = isinstance(node.dataset, PreEncodedNode)
    if node.training.pre_encoded != holds:
        kind = type(node.dataset).__struct_config__.tag
        yield Broken(
            f"training.pre_encoded is {str(node.training.pre_encoded).lower()}, but the dataset is"
            f" {kind!r}, which holds {'latents' if holds else 'audio'}",
            ("training", "pre_encoded"),
            str(holds).lower(),
        )


@rule("SAT-W001", on=AudioExperiment, reads=("sample_rate",), severity="warning")
def usual_rate(node: AudioExperiment) -> Iterator[Broken]:
    """The sample rate is one that recordings have."""
    usual = (8000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 192000)
    if node.sample_rate not in usual:
        near = min(usual, key=lambda rate: abs(rate - node.sample_rate))
        yield Broken(
            f"a sample rate of {node.sample_rate} Hz is unusual", ("sample_rate",), str(near)
        )
