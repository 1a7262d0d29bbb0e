"""What must fit between the parts of an autoencoder, and between it and an experiment."""

from collections.abc import Iterator

from sat_config.audio.autoencoder import AutoencoderConfig, LatentCodec
from sat_config.audio.bottleneck import (
    BottleneckNode,
    DitheredFSQNode,
)
from sat_config.audio.diffusion_autoencoder import DiffusionAutoencoderConfig
from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.pretransform import (
    AudiocraftPretrainedNode,
    AutoencoderPretransformNode,
    DACPretrainedNode,
    PretransformNode,
)
from sat_config.rules import Broken, rule

# ------------------------------------------------------------------------------ widths of latents


@rule(
    "SAT-E001",
    on=LatentCodec,
    reads=("encoder.config.latent_dim", "latent_dim", "bottleneck.type"),
)
def encoder_width(node: LatentCodec) -> Iterator[Broken]:
    """The encoder makes as many channels as the bottleneck takes."""
    per_latent = _per_latent(node)
    want, found = node.latent_dim * per_latent, _incoming(node)
    if found is None or found == want or _agreed_width(node) is not None:
        return
    kind = _tag(node.bottleneck) if node.bottleneck else "absent"
    yield Broken(
        f"{'the encoder gives' if node.encoder else 'the signal has'} {found} channels, but a"
        f" latent_dim of {node.latent_dim} with the bottleneck {kind!r} takes"
        f" {node.latent_dim} x {per_latent} = {want}",
        ("encoder", "config", node.encoder.out_key) if node.encoder else ("latent_dim",),
        str(want) if node.encoder else None,
    )


@rule(
    "SAT-E002",
    on=LatentCodec,
    reads=("decoder.config.latent_dim", "latent_dim", "bottleneck.config.noise_augment_dim"),
)
def decoder_width(node: LatentCodec) -> Iterator[Broken]:
    """The decoder takes the latents and the bottleneck's channels of noise."""
    if node.decoder is None or _agreed_width(node) is not None:
        return
    extra = _extra(node)
    want, found = node.latent_dim + extra, node.decoder.in_channels
    if found != want:
        total = f" and {extra} of noise, {want} in all" if extra else ""
        yield Broken(
            f"the decoder takes {found} channels, the latents have {node.latent_dim}{total}",
            ("decoder", "config", node.decoder.in_key),
            str(want),
        )


@rule(
    "SAT-E003",
    on=LatentCodec,
    reads=("latent_dim", "encoder", "decoder", "bottleneck"),
)
def declared_width(node: LatentCodec) -> Iterator[Broken]:
    """`latent_dim` is the width that encoder, bottleneck and decoder agree on."""
    width = _agreed_width(node)
    if width is None or width == node.latent_dim:
        return
    parts = []
    if (incoming := _incoming(node)) is not None:
        per_latent = _per_latent(node)
        share = f" / {per_latent} = {width}" if per_latent > 1 else ""
        parts.append(f"{'the encoder gives' if node.encoder else 'comes in'} {incoming}{share}")
    if node.bottleneck is not None and node.bottleneck.dim is not None:
        parts.append(f"the bottleneck works on {node.bottleneck.dim}")
    if node.decoder is not None:
        extra = _extra(node)
        rest = f", {extra} of them noise" if extra else ""
        parts.append(f"the decoder takes {node.decoder.in_channels}{rest}")
    yield Broken(
        f"latent_dim is {node.latent_dim}, but the latents have {width} channels:"
        f" {'; '.join(parts)}",
        ("latent_dim",),
        str(width),
    )


@rule("SAT-E011", on=LatentCodec, reads=("bottleneck.config.dim", "latent_dim"))
def bottleneck_width(node: LatentCodec) -> Iterator[Broken]:
    """The bottleneck works on the width of the latents."""
    if node.bottleneck is None or _agreed_width(node) is not None:
        return
    found, want = node.bottleneck.dim, node.latent_dim
    if found is None or found == want:
        return
    fix: int | None = want
    if isinstance(node.bottleneck, DitheredFSQNode):
        codebooks = node.bottleneck.config.num_codebooks
        fix = want // codebooks if want % codebooks == 0 else None
    yield Broken(
        f"the bottleneck {_tag(node.bottleneck)!r} works on {found} channels, the latents have"
        f" {want}",
        ("bottleneck", "config", node.bottleneck.dim_key),
        str(fix) if fix else None,
    )


def _tag(node: BottleneckNode) -> str:
    return str(type(node).__struct_config__.tag)


def _per_latent(node: LatentCodec) -> int:
    return node.bottleneck.encoder_channels_per_latent if node.bottleneck else 1


def _extra(node: LatentCodec) -> int:
    return node.bottleneck.extra_decoder_channels if node.bottleneck else 0


def _incoming(node: LatentCodec) -> int | None:
    return node.encoder.out_channels if node.encoder else node.signal_channels


def _agreed_width(node: LatentCodec) -> int | None:
    """The width of the latents on which all parts agree, whatever `latent_dim` says; else None."""
    found = set()
    if (incoming := _incoming(node)) is not None:
        found.add(incoming / _per_latent(node))
    if node.bottleneck is not None and node.bottleneck.dim is not None:
        found.add(node.bottleneck.dim)
    if node.decoder is not None:
        found.add(node.decoder.in_channels - _extra(node))
    width = found.pop() if len(found) == 1 else 0
    return int(width) if width > 0 and width == int(width) else None


# ---------------------------------------------------------------------------------------- lengths


@rule(
    "SAT-E004",
    on=LatentCodec,
    reads=("downsampling_ratio", "encoder.config.strides", "pretransform"),
)
def hop_length(node: LatentCodec) -> Iterator[Broken]:
    """The declared ratio is the product of the encoder's strides and the pretransform's."""
    found = node.hop_length
    if found is not None and found != node.downsampling_ratio:
        factors = node.encoder_factors
        product = f"{' x '.join(map(str, factors))} = {found}" if len(factors) > 1 else str(found)
        yield Broken(
            f"downsampling_ratio is {node.downsampling_ratio}, the strides give {product}",
            ("downsampling_ratio",),
            str(found),
        )


@rule("SAT-E005", on=AutoencoderConfig, reads=("encoder.config.strides", "decoder.config.strides"))
def same_length(node: AutoencoderConfig) -> Iterator[Broken]:
    """The decoder undoes the encoder's downsampling."""
    down, up = node.encoder.hop_length, node.decoder.hop_length
    if down != up:
        yield Broken(
            f"the encoder divides the length by {down}, the decoder multiplies it by {up}",
            ("decoder", "config", node.decoder.factors_key),
            node.decoder.written(node.encoder.factors),
        )


@rule(
    "SAT-W005",
    on=AutoencoderConfig,
    reads=("encoder.config.strides", "decoder.config.strides"),
    severity="warning",
)
def mirrored(node: AutoencoderConfig) -> Iterator[Broken]:
    """The decoder's stages mirror the encoder's."""
    down, up = node.encoder.factors, node.decoder.factors
    if down != up and node.encoder.hop_length == node.decoder.hop_length:
        order = "from the latents to the signal" if node.decoder.latents_first else "in its order"
        yield Broken(
            f"the decoder's stages do not mirror the encoder's ({', '.join(map(str, down))}); this"
            f" type of decoder lists them {order}",
            ("decoder", "config", node.decoder.factors_key),
            node.decoder.written(down),
        )


@rule("SAT-W008", on=AutoencoderConfig, reads=("decoder.config.strides",), severity="warning")
def odd_strides(node: AutoencoderConfig) -> Iterator[Broken]:
    """Odd strides make the decoder's output a little shorter than the encoder's input in SAT."""
    if odd := node.decoder.short_stages:
        yield Broken(
            f"odd strides ({', '.join(map(str, odd))}): stable-audio-tools loses a sample per"
            " stage when it decodes such a model",
            ("decoder", "config", node.decoder.factors_key),
        )


@rule("SAT-E030", on=AudioExperiment, reads=("sample_size", "model"))
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


@rule(
    "SAT-W031",
    on=AudioExperiment,
    reads=("sample_size", "model.pretransform.chunked"),
    severity="warning",
)
def chunks(node: AudioExperiment) -> Iterator[Broken]:
    """Audio that is encoded in pieces is at least one piece of 128 frames long."""
    first = getattr(getattr(node, "model", None), "pretransform", None)
    if not isinstance(first, AutoencoderPretransformNode) or not first.chunked:
        return
    least = 128 * first.hop_length
    if node.sample_size < least:
        yield Broken(
            f"sample_size {node.sample_size} is less than a piece of 128 x {first.hop_length} ="
            f" {least} samples, so chunked does nothing; stable-audio-tools 0.0.19 fails",
            ("model", "pretransform", "chunked"),
            "false",
        )


@rule("SAT-E115", on=AudioExperiment, reads=("sample_rate", "model.pretransform"))
def rate_of_codec(node: AudioExperiment) -> Iterator[Broken]:
    """A published codec hears audio at the rate that it was trained on."""
    first = getattr(getattr(node, "model", None), "pretransform", None)
    want = first.sample_rate if isinstance(first, PretransformNode) else None
    if want is not None and node.sample_rate != want:
        yield Broken(
            f"sample_rate is {node.sample_rate}, the codec of model.pretransform was trained at"
            f" {want} Hz",
            ("sample_rate",),
            str(want),
        )


@rule(
    "SAT-W117",
    on=AudioExperiment,
    reads=("model.pretransform", "pretransform_ckpt_path", "pretrained_ckpt_path", "ckpt_path"),
    severity="warning",
)
def weights_of_codec(node: AudioExperiment) -> Iterator[Broken]:
    """A published codec's weights are named, for nothing is downloaded."""
    first = getattr(getattr(node, "model", None), "pretransform", None)
    published = isinstance(first, DACPretrainedNode | AudiocraftPretrainedNode)
    named = node.pretransform_ckpt_path or node.pretrained_ckpt_path or node.ckpt_path
    if published and getattr(node, "training", None) is not None and not named:
        yield Broken(
            "nothing names the weights of the codec, which is of no use without; get its file and"
            " give its path",
            ("pretransform_ckpt_path",),
        )


def _hop_of(node: AudioExperiment) -> int | None:
    model = getattr(node, "model", None)
    if isinstance(model, LatentCodec):
        return model.hop_length or model.downsampling_ratio
    first = getattr(model, "pretransform", None)
    return first.hop_length if isinstance(first, PretransformNode) else None


# --------------------------------------------------------------------------------------- channels


@rule(
    "SAT-E006",
    on=LatentCodec,
    reads=("io_channels", "in_channels", "out_channels", "encoder", "decoder", "pretransform"),
)
def signal_channels(node: LatentCodec) -> Iterator[Broken]:
    """Encoder and decoder have the channels of the signal that they see."""
    first = node.pretransform
    inner = isinstance(node, DiffusionAutoencoderConfig)
    given = None if first is None else first.latent_dim if inner else first.channels
    if given not in (None, node.io_channels):
        verb, signal = ("gives", "signal") if inner else ("takes", "audio")
        yield Broken(
            f"the pretransform {verb} {given} channels, the {signal} has {node.io_channels}",
            ("io_channels",),
            str(given),
        )
    want = node.signal_channels
    if node.encoder is not None and want is not None and node.encoder.in_channels != want:
        yield Broken(
            f"the encoder has {node.encoder.in_channels} channels, the signal has {want}",
            ("encoder", "config", node.encoder.in_key),
            str(want),
        )
    if not isinstance(node, AutoencoderConfig):
        return  # what its decoder makes is a condition, not a signal
    want = first.latent_dim if first else node.out_channels or node.io_channels
    if want is not None and node.decoder.out_channels != want:
        yield Broken(
            f"the decoder has {node.decoder.out_channels} channels, the signal has {want}",
            ("decoder", "config", node.decoder.out_key),
            str(want),
        )


@rule("SAT-E056", on=AudioExperiment, reads=("audio_channels", "model", "training"))
def audio_channels(node: AudioExperiment) -> Iterator[Broken]:
    """Audio has the channels that the model, or its pretransform, works on."""
    model = getattr(node, "model", None)
    first = getattr(model, "pretransform", None)
    want, part = None, "model"
    if isinstance(model, LatentCodec):
        want = model.audio_channels
    elif isinstance(first, PretransformNode):
        want, part = first.channels, "pretransform"
    if want is not None and node.audio_channels != want:
        yield Broken(
            f"audio_channels is {node.audio_channels}, but the {part} works on {want}",
            ("audio_channels",),
            str(want),
        )
    elif isinstance(model, AutoencoderConfig):
        yield from _mono_input(node, model)


def _mono_input(node: AudioExperiment, model: AutoencoderConfig) -> Iterator[Broken]:
    """An encoder of fewer channels than the audio gets the mean of them only where told to."""
    found = model.in_channels or model.io_channels
    training = getattr(node, "training", None)
    if found == node.audio_channels or training is None:
        return
    if found != 1:
        yield Broken(
            f"the model takes {found} channels, but audio_channels is {node.audio_channels}",
            ("model", "in_channels"),
            str(node.audio_channels),
        )
    elif not getattr(training, "force_input_mono", False):
        yield Broken(
            f"the model takes 1 channel, the audio has {node.audio_channels}, and nothing mixes"
            " them",
            ("training", "force_input_mono"),
            "true",
        )


@rule(
    "SAT-W111",
    on=DiffusionAutoencoderConfig,
    reads=("decoder.soft_clip",),
    severity="warning",
)
def unused_soft_clip(node: DiffusionAutoencoderConfig) -> Iterator[Broken]:
    """The decoder of a diffusion autoencoder makes a condition, which nothing clips."""
    if node.decoder is not None and node.decoder.soft_clip:
        yield Broken(
            "soft_clip has no effect here: the decoder makes a condition, not the signal",
            ("decoder", "soft_clip"),
            "false",
        )
