"""What must fit within each part of an autoencoder, and within pretransforms."""

from collections.abc import Iterator

import msgspec

from sat_config import schema
from sat_config.audio.bottleneck import (
    DACRVQVAEConfig,
    DitheredFSQConfig,
    FSQConfig,
    RVQConfig,
)
from sat_config.audio.decoder import DACDecoderConfig, SEANetDecoderConfig, TAAEDecoderConfig
from sat_config.audio.pretransform import (
    ENCODEC_FACTS,
    AudiocraftPretrainedConfig,
    DACPretrainedConfig,
    PatchedConfig,
)
from sat_config.audio.seanet import ACTIVATION_KEYS, NORM_KEYS, ActivationParams, SEANetConfig
from sat_config.audio.stages import LocalAttentionConfig, StagedConfig, TAAEConfig
from sat_config.hints import nearest
from sat_config.rules import Broken, rule

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


@rule("SAT-E112", on=RVQConfig, reads=("reinmax", "straight_through"))
def reinmax_gradient(node: RVQConfig) -> Iterator[Broken]:
    """ReinMax is a gradient for draws that let gradients through."""
    if node.reinmax and not node.straight_through:
        yield Broken("reinmax needs straight_through", ("straight_through",), "true")


_SWITCHES = {
    "kmeans_iters": ("kmeans_init",),
    "quantize_dropout_cutoff_index": ("quantize_dropout",),
    "quantize_dropout_multiple_of": ("quantize_dropout",),
    "sample_codebook_temp": ("stochastic_sample_codes", "straight_through"),
    "orthogonal_reg_active_codes_only": ("orthogonal_reg_weight",),
    "orthogonal_reg_max_codes": ("orthogonal_reg_weight",),
    "codebook_diversity_temperature": ("codebook_diversity_loss_weight",),
    "sync_affine_param": ("affine_param",),
    "affine_param_batch_decay": ("affine_param",),
    "affine_param_codebook_decay": ("affine_param",),
}
"""Options of residual quantizers, and what of it has to be on for them to have an effect."""


@rule("SAT-W113", on=RVQConfig, reads=tuple(_SWITCHES), severity="warning")
def idle_options(node: RVQConfig) -> Iterator[Broken]:
    """No option is set of a part that is off."""
    known = schema.fields(RVQConfig)
    for key, switches in _SWITCHES.items():
        off = not any(getattr(node, switch) for switch in switches)
        if off and getattr(node, key) != known[key].default:
            yield Broken(f"{key} has no effect without {' or '.join(switches)}", (key,))


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


@rule("SAT-E114", on=AudiocraftPretrainedConfig, reads=("model_type",))
def known_codec(node: AudiocraftPretrainedConfig) -> Iterator[Broken]:
    """The sizes of the codec are known, which its weights alone do not tell."""
    if node.model_type not in ENCODEC_FACTS:
        yield Broken(
            f"the sizes of {node.model_type!r} are not known; those of"
            f" {' and '.join(ENCODEC_FACTS)} are",
            ("model_type",),
            nearest(node.model_type, ENCODEC_FACTS),
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
