"""What must fit together in an audio document."""

from collections.abc import Iterator

from sat_config.audio.autoencoder import AutoencoderConfig
from sat_config.audio.dataset import PreEncodedNode
from sat_config.audio.decoder import OobleckDecoderConfig
from sat_config.audio.diffusion import DiTUncondNode
from sat_config.audio.encoder import OobleckEncoderConfig
from sat_config.audio.experiment import AudioExperiment, DiffusionUncondExperiment
from sat_config.audio.loss import SpectralConfig
from sat_config.audio.pretransform import AutoencoderPretransformNode
from sat_config.rules import Broken, rule


@rule("SAT-E001", on=OobleckEncoderConfig, reads=("c_mults", "strides"))
def encoder_stages(node: OobleckEncoderConfig) -> Iterator[Broken]:
    """Every stage has a width multiplier and a stride."""
    yield from _stages(node.c_mults, node.strides)


@rule("SAT-E002", on=OobleckDecoderConfig, reads=("c_mults", "strides"))
def decoder_stages(node: OobleckDecoderConfig) -> Iterator[Broken]:
    """Every stage has a width multiplier and a stride."""
    yield from _stages(node.c_mults, node.strides)


def _stages(c_mults: tuple[int, ...], strides: tuple[int, ...]) -> Iterator[Broken]:
    if len(c_mults) != len(strides):
        yield Broken(
            f"{len(strides)} strides for {len(c_mults)} width multipliers (c_mults);"
            " each stage needs one of both",
            ("strides",),
        )


@rule(
    "SAT-E003",
    on=AutoencoderConfig,
    reads=("encoder.config.latent_dim", "latent_dim", "bottleneck.type"),
)
def encoder_width(node: AutoencoderConfig) -> Iterator[Broken]:
    """The encoder makes as many channels as the bottleneck takes."""
    per_latent = node.bottleneck.encoder_channels_per_latent if node.bottleneck else 1
    want, found = node.latent_dim * per_latent, node.encoder.out_channels
    if want != found:
        kind = type(node.bottleneck).__struct_config__.tag if node.bottleneck else "absent"
        yield Broken(
            f"the encoder gives {found} channels, but a latent_dim of {node.latent_dim} with the"
            f" bottleneck {kind!r} takes {node.latent_dim} x {per_latent} = {want}",
            ("encoder", "config", "latent_dim"),
            str(want),
        )


@rule("SAT-E004", on=AutoencoderConfig, reads=("decoder.config.latent_dim", "latent_dim"))
def decoder_width(node: AutoencoderConfig) -> Iterator[Broken]:
    """The decoder takes the latents as they are."""
    found = node.decoder.in_channels
    if found != node.latent_dim:
        yield Broken(
            f"the decoder takes {found} channels, the latents have {node.latent_dim}",
            ("decoder", "config", "latent_dim"),
            str(node.latent_dim),
        )


@rule(
    "SAT-E005",
    on=AutoencoderConfig,
    reads=("downsampling_ratio", "encoder.config.strides", "pretransform"),
)
def hop_length(node: AutoencoderConfig) -> Iterator[Broken]:
    """The declared ratio is the product of the encoder's strides and the pretransform's."""
    inner = node.encoder.hop_length
    nested = node.pretransform.hop_length if node.pretransform else 1
    if inner * nested != node.downsampling_ratio:
        product = " x ".join(map(str, (*node.encoder.factors, *([nested] if nested > 1 else []))))
        yield Broken(
            f"downsampling_ratio is {node.downsampling_ratio}, the strides give"
            f" {product} = {inner * nested}",
            ("downsampling_ratio",),
            str(inner * nested),
        )


@rule("SAT-E006", on=AutoencoderConfig, reads=("encoder.config.strides", "decoder.config.strides"))
def mirrored(node: AutoencoderConfig) -> Iterator[Broken]:
    """The decoder undoes the encoder's downsampling."""
    down, up = node.encoder.hop_length, node.decoder.hop_length
    if down != up:
        yield Broken(
            f"the encoder divides the length by {down}, the decoder multiplies it by {up}",
            ("decoder", "config", "strides"),
            str(list(node.encoder.factors)),
        )


@rule(
    "SAT-E007",
    on=AutoencoderConfig,
    reads=("io_channels", "in_channels", "out_channels", "encoder.config.in_channels"),
)
def signal_channels(node: AutoencoderConfig) -> Iterator[Broken]:
    """Encoder and decoder have the channels of the signal that they see."""
    nested = node.pretransform.latent_dim if node.pretransform else None
    pairs = (
        ("encoder", "in_channels", node.encoder.in_channels, node.in_channels),
        ("decoder", "out_channels", node.decoder.out_channels, node.out_channels),
    )
    for part, key, found, given in pairs:
        want = nested or given or node.io_channels
        if found != want:
            yield Broken(
                f"the {part} has {found} channels, the signal has {want}",
                (part, "config", key),
                str(want),
            )


@rule("SAT-E010", on=DiTUncondNode, reads=("config.embed_dim", "config.num_heads"))
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


@rule("SAT-E011", on=DiTUncondNode, reads=("config.in_channels", "pretransform"))
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


@rule("SAT-E012", on=SpectralConfig, reads=("fft_sizes", "hop_sizes", "win_lengths"))
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


@rule("SAT-E013", on=AudioExperiment, reads=("sample_size", "model"))
def whole_frames(node: AudioExperiment) -> Iterator[Broken]:
    """A crop is a whole number of latent frames."""
    hop = _hop_of(node)
    if hop and node.sample_size % hop:
        low = max(hop, node.sample_size // hop * hop)
        yield Broken(
            f"sample_size {node.sample_size} is {node.sample_size / hop:.2f} latent frames of {hop}"
            " samples; it must be a whole number of them",
            ("sample_size",),
            f"{low} or {low + hop}",
        )


def _hop_of(node: AudioExperiment) -> int | None:
    model = getattr(node, "model", None)
    if isinstance(model, AutoencoderConfig):
        return model.downsampling_ratio
    pretransform = getattr(model, "pretransform", None)
    if isinstance(pretransform, AutoencoderPretransformNode):
        return pretransform.hop_length
    return None


@rule("SAT-E014", on=AutoencoderConfig, reads=("encoder.config.strides",), severity="warning")
def odd_strides(node: AutoencoderConfig) -> Iterator[Broken]:
    """Odd strides make the decoder's output a little shorter than the encoder's input in SAT."""
    odd = [stride for stride in node.encoder.factors if stride % 2 and stride > 1]
    if odd:
        yield Broken(
            f"odd strides ({', '.join(map(str, odd))}): stable-audio-tools loses a sample per"
            " stage when it decodes such a model",
            ("encoder", "config", "strides"),
        )


@rule(
    "SAT-E015", on=DiffusionUncondExperiment, reads=("training.pre_encoded", "dataset.dataset_type")
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
