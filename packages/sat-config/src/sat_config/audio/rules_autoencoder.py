"""What must fit together in autoencoders, their parts, and the pretransforms made of them."""

from collections.abc import Iterator

import msgspec

from sat_config.audio.autoencoder import AutoencoderConfig, LatentCodec
from sat_config.audio.bottleneck import (
    BottleneckNode,
    DACRVQVAEConfig,
    DitheredFSQConfig,
    DitheredFSQNode,
    FSQConfig,
    RVQConfig,
)
from sat_config.audio.decoder import DACDecoderConfig, SEANetDecoderConfig, TAAEDecoderConfig
from sat_config.audio.diffusion_autoencoder import DiffusionAutoencoderConfig
from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.pretransform import (
    AutoencoderPretransformNode,
    DACPretrainedConfig,
    PatchedConfig,
    PretransformNode,
)
from sat_config.audio.seanet import ACTIVATION_KEYS, NORM_KEYS, ActivationParams, SEANetConfig
from sat_config.audio.stages import LocalAttentionConfig, StagedConfig, TAAEConfig
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


# ----------------------------------------------------------------------------------------- stages


@rule("SAT-E007", on=StagedConfig, reads=("c_mults", "strides", "transformer_depths", "depths"))
def stages(node: StagedConfig) -> Iterator[Broken]:
    """Every stage has an entry in each list."""
    count = len(getattr(node, node.counted))
    for key in node.parallel:
        found = len(getattr(node, key))
        if found < count:
            yield Broken(
                f"{found} {key} for {count} stages ({node.counted}); each stage needs one", (key,)
            )


@rule(
    "SAT-W007",
    on=StagedConfig,
    reads=("c_mults", "strides", "transformer_depths", "depths"),
    severity="warning",
)
def spare_entries(node: StagedConfig) -> Iterator[Broken]:
    """No list has entries that no stage uses."""
    count = len(getattr(node, node.counted))
    for key in node.parallel:
        entries = getattr(node, key)
        if len(entries) > count:
            yield Broken(
                f"{len(entries)} {key} for {count} stages ({node.counted}); the rest is not used",
                (key,),
                str(list(entries[:count])),
            )


@rule("SAT-E009", on=TAAEConfig, reads=("channels", "c_mults"))
def stage_widths(node: TAAEConfig) -> Iterator[Broken]:
    """A stage is 6 to 127 channels wide, or a multiple of 128, the width of a head."""
    for number, width in enumerate(node.widths):
        if width < 6 or (width > 128 and width % 128):
            yield Broken(
                f"stage {number} is {node.c_mults[number]} x {node.channels} = {width} channels"
                " wide; it must be 6 to 127, or a multiple of 128",
                ("c_mults", number),
            )


@rule("SAT-E010", on=TAAEConfig, reads=("channels", "c_mults", "strides"))
def unit_strides(node: TAAEConfig) -> Iterator[Broken]:
    """A stage of stride 1 has no convolution that could change its width."""
    changes = zip(node.strides, node.incoming_widths, node.widths, strict=False)
    for number, (stride, before, after) in enumerate(changes):
        if stride == 1 and before != after:
            yield Broken(
                f"stage {number} has stride 1 and so no convolution, but goes from {before} to"
                f" {after} channels",
                ("strides", number),
            )


@rule(
    "SAT-W010", on=TAAEDecoderConfig, reads=("use_snake", "channels", "c_mults"), severity="warning"
)
def snake_widths(node: TAAEDecoderConfig) -> Iterator[Broken]:
    """A decoder with snake activations runs in SAT only if all its stages are equally wide."""
    if node.use_snake and len(set(node.widths)) > 1:
        yield Broken(
            f"stages of {', '.join(map(str, node.widths))} channels with use_snake:"
            " stable-audio-tools cannot run this decoder",
            ("use_snake",),
            "false",
        )


@rule("SAT-E105", on=LocalAttentionConfig, reads=("embed_dims", "heads"))
def local_heads(node: LocalAttentionConfig) -> Iterator[Broken]:
    """The width of a stage divides into its heads."""
    widths = node.per_stage("embed_dims")
    for number, (width, heads) in enumerate(zip(widths, node.per_stage("heads"), strict=False)):
        if width % heads:
            yield Broken(
                f"embed_dims[{number}] {width} does not divide into {heads} heads",
                ("heads", number),
            )


@rule("SAT-E106", on=DACDecoderConfig, reads=("channels", "rates"))
def halved_width(node: DACDecoderConfig) -> Iterator[Broken]:
    """The width can be halved at every stage."""
    least = 2 ** len(node.rates)
    if node.channels < least:
        yield Broken(
            f"{node.channels} channels cannot be halved {len(node.rates)} times; at least {least}"
            " are needed",
            ("channels",),
            str(least),
        )


# ----------------------------------------------------------------------------------------- SEANet


@rule("SAT-E101", on=SEANetConfig, reads=("activation", "activation_params"))
def activation_params(node: SEANetConfig) -> Iterator[Broken]:
    """An activation gets only the parameters that it takes."""
    yield from _activation("activation", node.activation, node.activation_params)
    if isinstance(node, SEANetDecoderConfig) and node.final_activation_params is not None:
        yield from _activation(
            "final_activation", node.final_activation, node.final_activation_params
        )


def _activation(key: str, name: str | None, params: ActivationParams) -> Iterator[Broken]:
    takes = ACTIVATION_KEYS.get(name or "", ())
    given = _given(params)
    if surplus := [found for found in given if found not in takes]:
        yield Broken(
            f"{key} {name or 'absent'} takes {' and '.join(takes) or 'no parameters'}, not"
            f" {' and '.join(surplus)}",
            (f"{key}_params",),
            _table({found: value for found, value in given.items() if found in takes}),
        )


@rule("SAT-E102", on=SEANetConfig, reads=("norm", "norm_params"))
def norm_params(node: SEANetConfig) -> Iterator[Broken]:
    """A normalisation gets only the parameters that it takes."""
    takes = NORM_KEYS.get(node.norm, ())
    given = _given(node.norm_params)
    if surplus := [found for found in given if found not in takes]:
        yield Broken(
            f"norm {node.norm} takes {' and '.join(takes) or 'no parameters'}, not"
            f" {' and '.join(surplus)}",
            ("norm_params",),
            _table({found: value for found, value in given.items() if found in takes}),
        )


@rule("SAT-E103", on=SEANetConfig, reads=("norm", "causal"))
def causal_norm(node: SEANetConfig) -> Iterator[Broken]:
    """A causal network does not normalise over time."""
    if node.causal and node.norm == "time_group_norm":
        yield Broken("time_group_norm looks at all times, so it cannot be causal", ("norm",))


@rule("SAT-E104", on=SEANetDecoderConfig, reads=("trim_right_ratio", "causal"))
def causal_trim(node: SEANetDecoderConfig) -> Iterator[Broken]:
    """Only a causal network trims one end more than the other."""
    if not node.causal and node.trim_right_ratio != 1:
        yield Broken(
            f"trim_right_ratio is {node.trim_right_ratio}, but without causal it must be 1",
            ("trim_right_ratio",),
            "1.0",
        )


def _given(params: msgspec.Struct) -> dict[str, object]:
    pairs = ((name, getattr(params, name)) for name in params.__struct_fields__)
    return {name: value for name, value in pairs if value is not None}


def _table(values: dict[str, object]) -> str:
    inner = ", ".join(f"{key} = {value}" for key, value in values.items())
    return f"{{ {inner} }}" if inner else "{}"


# ------------------------------------------------------------------------------------ bottlenecks


@rule("SAT-E012", on=DitheredFSQConfig, reads=("levels", "dim"))
def dithered_levels(node: DitheredFSQConfig) -> Iterator[Broken]:
    """A list of levels has one entry per channel of a codebook."""
    if not isinstance(node.levels, int) and len(node.levels) != node.dim:
        yield Broken(
            f"{len(node.levels)} levels for a dim of {node.dim}; each channel needs one",
            ("dim",),
            str(len(node.levels)),
        )


@rule("SAT-E013", on=FSQConfig, reads=("num_codebooks", "keep_num_codebooks_dim"))
def kept_codebooks(node: FSQConfig) -> Iterator[Broken]:
    """Several codebooks keep their axis."""
    if node.num_codebooks > 1 and node.keep_num_codebooks_dim is False:
        yield Broken(
            f"the codes of {node.num_codebooks} codebooks need an axis for them",
            ("keep_num_codebooks_dim",),
            "true",
        )


@rule(
    "SAT-W013",
    on=FSQConfig,
    reads=("num_codebooks", "keep_num_codebooks_dim"),
    severity="warning",
)
def single_codebook(node: FSQConfig) -> Iterator[Broken]:
    """A single codebook keeps its axis, or SAT cannot encode."""
    if node.num_codebooks == 1 and not node.keep_num_codebooks_dim:
        yield Broken(
            "stable-audio-tools cannot encode with one codebook unless keep_num_codebooks_dim is"
            " true; here the axis is always kept",
            ("keep_num_codebooks_dim",),
            "true",
        )


@rule("SAT-E107", on=RVQConfig, reads=("ema_update", "learnable_codebook", "sync_update_v"))
def codebook_updates(node: RVQConfig) -> Iterator[Broken]:
    """Codebooks are learned or follow the data, not both."""
    if node.learnable_codebook and node.ema_update:
        yield Broken(
            "codebooks that are learned cannot follow the data as well", ("ema_update",), "false"
        )
    if node.sync_update_v > 0 and not node.learnable_codebook:
        yield Broken(
            f"sync_update_v is {node.sync_update_v}, but without learnable_codebook it must be 0",
            ("sync_update_v",),
            "0.0",
        )


@rule("SAT-E108", on=DACRVQVAEConfig, reads=("codebook_dim", "n_codebooks"))
def codebook_dims(node: DACRVQVAEConfig) -> Iterator[Broken]:
    """A list of widths has one entry per codebook."""
    if not isinstance(node.codebook_dim, int) and len(node.codebook_dim) != node.n_codebooks:
        yield Broken(
            f"{len(node.codebook_dim)} entries of codebook_dim for {node.n_codebooks} codebooks",
            ("codebook_dim",),
        )


# ---------------------------------------------------------------------------------- pretransforms


@rule("SAT-E109", on=DACPretrainedConfig, reads=("model_type", "model_bitrate"))
def published_codec(node: DACPretrainedConfig) -> Iterator[Broken]:
    """The codec was published at this sample rate and bit rate."""
    if node.model_bitrate == "16kbps" and node.model_type != "44khz":
        yield Broken(
            f"there is no codec for {node.model_type} at 16kbps, only for 44khz",
            ("model_bitrate",),
            "8kbps",
        )


@rule("SAT-E110", on=PatchedConfig, reads=("patch_size", "oversampling"))
def whole_patches(node: PatchedConfig) -> Iterator[Broken]:
    """A frame is a whole number of samples of the audio."""
    if node.patch_size % node.oversampling:
        yield Broken(
            f"a patch of {node.patch_size} samples at {node.oversampling} times the rate is"
            f" {node.patch_size / node.oversampling:.2f} samples of audio",
            ("oversampling",),
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
