"""What must fit together in diffusion models and language models, conditioning apart."""

from collections.abc import Iterator
from typing import NamedTuple

from sat_config.audio.conditioner import LatentModel
from sat_config.audio.dataset import PreEncodedNode
from sat_config.audio.diffusion import (
    INPAINT_MASK,
    INPAINT_SIGNAL,
    DiffusionCondConfig,
    DiffusionUncondNode,
    DistributionShift,
    DiTNode,
)
from sat_config.audio.diffusion_autoencoder import DiffusionAutoencoderConfig
from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.lm import (
    DelayPatternNode,
    LMModelConfig,
    MusicLMPatternNode,
    TransformerLMConfig,
    UnrollPatternNode,
)
from sat_config.audio.transformer import (
    DiTConfig,
    DiTOptions,
    FeedForwardConfig,
    NormConfig,
    TransformerOptions,
)
from sat_config.audio.unet import AdpConcatConfig, AdpOptions, DAU1dConfig
from sat_config.errors import Path
from sat_config.rules import Broken, rule

LEAST_ROTARY_WIDTH = 32
DANCE_HEAD_WIDTH = 32
ADP_NORM_GROUPS = 32
"""Groups of the norms before the transformers of audio-diffusion-pytorch."""

# -------------------------------------------------------------------------------------- channels


@rule("SAT-E014", on=LatentModel, reads=("io_channels", "diffusion.config", "pretransform"))
def signal_channels(node: LatentModel) -> Iterator[Broken]:
    """Model, network and pretransform agree on the channels of the signal."""
    declared = node.declared_channels
    latent = node.pretransform.latent_dim if node.pretransform else None
    if not declared:
        return
    want, whose = declared[0][1], "the model"
    if latent is not None:
        want, whose = latent, "the pretransform"
    for path, found in declared:
        if found != want:
            yield Broken(
                f"{'.'.join(map(str, path))} is {found}, but {whose} has {want} channels",
                path,
                str(want),
            )


# ----------------------------------------------------------------------------------- transformers


@rule("SAT-E020", on=TransformerOptions, reads=("embed_dim", "num_heads", "dim_heads"))
def whole_heads(node: TransformerOptions) -> Iterator[Broken]:
    """The width divides into heads."""
    if isinstance(node, DiTOptions) and node.width % node.num_heads:
        yield Broken(
            f"embed_dim {node.width} does not divide into {node.num_heads} heads", ("num_heads",)
        )
    elif isinstance(node, TransformerLMConfig) and node.width % node.dim_heads:
        yield Broken(
            f"embed_dim {node.width} does not divide into heads of {node.dim_heads}",
            ("dim_heads",),
        )


@rule("SAT-E021", on=TransformerOptions, reads=("embed_dim", "num_heads", "rotary_pos_emb"))
def rotary_width(node: TransformerOptions) -> Iterator[Broken]:
    """Rotary positions have heads of at least 32 channels."""
    if not node.rotary_pos_emb or node.head_width >= LEAST_ROTARY_WIDTH:
        return
    least = f"rotary positions need at least {LEAST_ROTARY_WIDTH}"
    if isinstance(node, DiTOptions):
        yield Broken(
            f"heads are {node.width} / {node.num_heads} = {node.head_width} wide; {least}",
            ("num_heads",),
            str(_most_heads(node.width)),
        )
    else:
        yield Broken(
            f"heads are {node.head_width} wide; {least}", ("dim_heads",), str(LEAST_ROTARY_WIDTH)
        )


def _most_heads(width: int) -> int:
    """The largest number of heads of equal width that rotary positions can work on."""
    most = max(1, width // LEAST_ROTARY_WIDTH)
    return next(heads for heads in range(most, 0, -1) if width % heads == 0)


@rule("SAT-E022", on=DiTConfig, reads=("project_cond_tokens", "cond_token_dim", "num_heads"))
def key_value_heads(node: DiTConfig) -> Iterator[Broken]:
    """Conditions that are not projected divide into heads, and the query heads among those."""
    head = node.head_width
    if node.project_cond_tokens or not node.cond_token_dim or not head:
        return
    heads, rest = divmod(node.cond_token_dim, head)
    if rest:
        message = f"cond_token_dim {node.cond_token_dim} is no multiple of the head width {head}"
    elif node.num_heads % heads:
        message = (
            f"cond_token_dim {node.cond_token_dim} makes {heads} key-value heads of {head}, which"
            f" {node.num_heads} query heads cannot share evenly"
        )
    else:
        return
    yield Broken(f"without a projection, {message}", ("project_cond_tokens",), "true")


@rule(
    "SAT-E132",
    on=TransformerLMConfig,
    reads=("conformer", "ff_kwargs.use_conv", "attn_kwargs.feat_scale"),
)
def blind_to_the_future(node: TransformerLMConfig) -> Iterator[Broken]:
    """A language model sees nothing of what it is to predict."""
    options: dict[Path, bool] = {
        ("conformer",): node.conformer,
        ("ff_kwargs", "use_conv"): node.ff_kwargs.use_conv,
        ("attn_kwargs", "feat_scale"): node.attn_kwargs.feat_scale,
    }
    for path, used in options.items():
        if used:
            yield Broken(f"{path[-1]} looks ahead in time", path, "false")


@rule("SAT-E121", on=TransformerOptions, reads=("use_sinusoidal_emb", "embed_dim"))
def even_width(node: TransformerOptions) -> Iterator[Broken]:
    """Sinusoidal positions have an even width, half of it sines."""
    if node.use_sinusoidal_emb and not node.use_abs_pos_emb and node.width % 2:
        yield Broken(
            f"embed_dim {node.width} is odd, which sinusoidal positions cannot be", ("embed_dim",)
        )


@rule("SAT-E125", on=TransformerOptions, reads=("ff_kwargs.dim_out", "ff_kwargs.conv_kernel_size"))
def same_shape(node: TransformerOptions) -> Iterator[Broken]:
    """Feed-forward networks give back the shape that they get, for it is added to that."""
    hidden = node.ff_kwargs
    if hidden.dim_out not in (None, node.width):
        yield Broken(
            f"dim_out {hidden.dim_out} cannot be added to a width of {node.width}",
            ("ff_kwargs", "dim_out"),
            str(node.width),
        )
    if hidden.use_conv and hidden.conv_kernel_size % 2 == 0:
        yield Broken(
            f"a kernel of {hidden.conv_kernel_size} frames changes the length",
            ("ff_kwargs", "conv_kernel_size"),
            str(hidden.conv_kernel_size + 1),
        )


@rule("SAT-W128", on=TransformerOptions, reads=("norm_kwargs", "ff_kwargs"), severity="warning")
def unused_options(node: TransformerOptions) -> Iterator[Broken]:
    """No option is set that another one makes useless."""
    plain, hidden = FeedForwardConfig(), node.ff_kwargs
    unused: list[tuple[bool, str, str]] = [
        (
            node.remove_norms and node.norm_kwargs != NormConfig(),
            "norm_kwargs",
            "remove_norms leaves no norms",
        ),
        (
            node.use_abs_pos_emb and node.use_sinusoidal_emb,
            "use_sinusoidal_emb",
            "use_abs_pos_emb takes its place",
        ),
        (
            node.add_rope and node.rotary_pos_emb,
            "add_rope",
            "rotary_pos_emb takes its place",
        ),
        (
            not hidden.use_conv and hidden.conv_kernel_size != plain.conv_kernel_size,
            "ff_kwargs",
            "conv_kernel_size needs use_conv",
        ),
    ]
    if isinstance(node, DiTOptions):
        spare = node.timestep_embed_dim is not None and node.timestep_cond_type == "global"
        unused.append(
            (spare, "timestep_embed_dim", "it is for a timestep_cond_type of input_concat")
        )
    for found, key, reason in unused:
        if found:
            yield Broken(f"{key} has no effect: {reason}", (key,))


@rule("SAT-E129", on=DiTOptions, reads=("timestep_cond_type", "timestep_embed_dim"))
def timestep_width(node: DiTOptions) -> Iterator[Broken]:
    """A timestep that is joined to the input has a number of channels."""
    if node.timestep_cond_type == "input_concat" and node.timestep_embed_dim is None:
        yield Broken(
            "timestep_cond_type input_concat needs timestep_embed_dim", ("timestep_embed_dim",), "1"
        )


# ----------------------------------------------------------------------------------------- U-Nets


@rule("SAT-E025", on=AdpOptions, reads=("multipliers", "factors", "num_blocks", "attentions"))
def adp_levels(node: AdpOptions) -> Iterator[Broken]:
    """Every level has a factor, a number of blocks and one of transformers."""
    count = node.levels
    for key, found in (
        ("factors", len(node.factors)),
        ("num_blocks", len(node.num_blocks)),
        ("attentions", len(node.attentions)),
    ):
        if found < count or (found > count and key != "attentions"):
            yield Broken(
                f"{found} {key} for {count} levels, which are one fewer than multipliers", (key,)
            )


@rule(
    "SAT-E026",
    on=AdpOptions,
    reads=("channels", "multipliers", "resnet_groups", "attentions", "patch_size"),
)
def adp_widths(node: AdpOptions) -> Iterator[Broken]:
    """Widths divide into the groups of their norms, the first one into patches, and time in two."""
    extra = node.context_channels or () if isinstance(node, AdpConcatConfig) else ()
    for level, width in enumerate(node.widths[1:]):
        joined = extra[level + 1] if level + 1 < len(extra) else 0
        if (width + joined) % node.resnet_groups:
            more = f" + {joined} of the condition" if joined else ""
            yield Broken(
                f"level {level} is {node.multipliers[level + 1]} x {node.channels} = {width}{more}"
                f" channels wide, no multiple of {node.resnet_groups} groups",
                ("resnet_groups",),
            )
        if _adp_attends(node, level) and width % ADP_NORM_GROUPS:
            yield Broken(
                f"level {level} attends and is {width} channels wide, no multiple of"
                f" {ADP_NORM_GROUPS}",
                ("channels",),
            )
    if node.widths[0] % node.patch_size:
        yield Broken(
            f"the first width is {node.widths[0]}, no multiple of a patch of {node.patch_size}",
            ("patch_size",),
        )
    if node.use_context_time and node.channels % 2:
        yield Broken(f"channels is {node.channels}, which a timestep wants even", ("channels",))


def _adp_attends(node: AdpOptions, level: int) -> bool:
    if level == node.levels - 1 and node.attentions[-1]:
        return True  # the bottleneck
    return any(node.attentions[level : level + 1])


@rule(
    "SAT-E027",
    on=AdpOptions,
    reads=("attentions", "attention_multiplier", "attention_heads", "attention_features"),
)
def adp_attention(node: AdpOptions) -> Iterator[Broken]:
    """A network with transformers knows how wide they are."""
    if not any(node.attentions):
        return
    if node.attention_multiplier is None:
        yield Broken("attentions need attention_multiplier", ("attention_multiplier",))
    if node.attention_heads is None and node.attention_features is None:
        yield Broken("attentions need attention_heads or attention_features", ("attention_heads",))


@rule("SAT-E123", on=AdpOptions, reads=("use_stft", "stft_num_fft"))
def adp_stft(node: AdpOptions) -> Iterator[Broken]:
    """An STFT has a length, and options of one stand only where there is one."""
    if node.use_stft and node.stft_num_fft is None:
        yield Broken("use_stft needs stft_num_fft", ("stft_num_fft",))
    if not node.use_stft:
        given = {
            "stft_num_fft": node.stft_num_fft is not None,
            "stft_hop_length": node.stft_hop_length != 256,
            "stft_window_length": node.stft_window_length is not None,
            "stft_length": node.stft_length is not None,
            "stft_use_complex": node.stft_use_complex,
            "use_stft_context": node.use_stft_context,
        }
        for key in [key for key, found in given.items() if found]:
            yield Broken(f"{key} is for an STFT, and use_stft is false", (key,))


@rule("SAT-E130", on=AdpConcatConfig, reads=("context_channels",))
def adp_one_condition(node: AdpConcatConfig) -> Iterator[Broken]:
    """One level gets the condition, for there is one condition."""
    counts = node.context_channels or ()
    if sum(count > 0 for count in counts) > 1:
        yield Broken(
            f"context_channels is {list(counts)}, but there is one condition for one level",
            ("context_channels",),
            f"[{next(count for count in counts if count)}]",
        )
    if len(counts) > node.levels + 1:
        yield Broken(
            f"{len(counts)} context_channels for the input and {node.levels} levels",
            ("context_channels",),
        )


@rule("SAT-E126", on=DAU1dConfig, reads=("depth", "channels", "strides", "n_attn_layers"))
def dance_levels(node: DAU1dConfig) -> Iterator[Broken]:
    """Every level has a width and a stride that its resampling and attention can do."""
    if node.kernel_size % 2 == 0:
        yield Broken(
            f"a kernel of {node.kernel_size} frames changes the length",
            ("kernel_size",),
            str(node.kernel_size + 1),
        )
    if node.depth > len(node.channels):
        yield Broken(f"depth {node.depth} with {len(node.channels)} channels", ("channels",))
    if node.depth > len(node.strides) + 1:
        yield Broken(
            f"depth {node.depth} needs {node.depth - 1} strides, there are {len(node.strides)}",
            ("strides",),
        )
    used = node.strides[: node.depth - 1]
    odd = [stride for stride in used if stride != 2]
    if odd and not node.learned_resample:
        yield Broken(
            f"fixed kernels halve and double only; a stride of {odd[0]} needs learned_resample",
            ("learned_resample",),
            "true",
        )
    deepest = min(node.depth, len(node.channels))
    for level in range(max(2, node.depth - node.n_attn_layers), deepest + 1):
        for width in node.channels[level - 2 : level] if node.n_attn_layers else ():
            if width < DANCE_HEAD_WIDTH or width % (width // DANCE_HEAD_WIDTH):
                yield Broken(
                    f"level {level} attends at a width of {width}, which makes no heads of"
                    f" {DANCE_HEAD_WIDTH} channels or more",
                    ("n_attn_layers",),
                )


# ---------------------------------------------------------------------------------------- lengths


@rule("SAT-E023", on=AudioExperiment, reads=("sample_size", "model.diffusion.config.patch_size"))
def whole_tokens(node: AudioExperiment) -> Iterator[Broken]:
    """The length of the signal is a whole number of a transformer's patches."""
    found = _backbone(node)
    if found is not None and isinstance(found.config, DiTOptions):
        yield from _length(node, found, f"patch_size is {found.multiple}")


@rule("SAT-E024", on=AudioExperiment, reads=("sample_size", "model.diffusion.config.factors"))
def whole_levels(node: AudioExperiment) -> Iterator[Broken]:
    """The length of the signal is a multiple of all that a U-Net divides it by."""
    found = _backbone(node)
    if found is None or isinstance(found.config, DiTOptions):
        return
    config = found.config
    factors: tuple[int, ...] = ()
    if isinstance(config, AdpOptions):
        factors = (config.patch_size, *config.factors)
    elif isinstance(config, DAU1dConfig):
        factors = config.strides[: config.depth - 1]
    product = " x ".join(str(factor) for factor in factors if factor > 1)
    yield from _length(node, found, f"the U-Net divides them by {product} = {found.multiple}")


class _Backbone(NamedTuple):
    config: object
    multiple: int
    hop: int


def _backbone(node: AudioExperiment) -> _Backbone | None:
    """The diffusion network of an experiment, and the samples per frame of its signal."""
    model = getattr(node, "model", None)
    if not isinstance(
        model, DiffusionCondConfig | DiffusionAutoencoderConfig | DiffusionUncondNode
    ):
        return None
    inner = model if isinstance(model, DiffusionUncondNode) else model.diffusion
    hop = model.pretransform.hop_length if model.pretransform else 1
    config = getattr(inner, "config", None)
    return _Backbone(config, inner.length_multiple, hop) if hop is not None else None


def _length(node: AudioExperiment, found: _Backbone, why: str) -> Iterator[Broken]:
    path: Path
    frames, unit, path = node.sample_size / found.hop, found.hop, ("sample_size",)
    data = node.dataset
    if isinstance(data, PreEncodedNode) and data.latent_crop_length is not None:
        frames, unit, path = float(data.latent_crop_length), 1, ("dataset", "latent_crop_length")
    if not frames.is_integer() or frames % found.multiple == 0:
        return  # a broken frame is another rule's matter
    step = found.multiple * unit
    low = max(1, int(frames) // found.multiple) * step
    yield Broken(f"there are {int(frames)} frames, but {why}", path, f"{low} or {low + step}")


@rule("SAT-E051", on=DistributionShift, reads=("min_length", "max_length"))
def shift_range(node: DistributionShift) -> Iterator[Broken]:
    """The shift grows over a range of lengths."""
    if node.max_length <= node.min_length:
        yield Broken(
            f"max_length {node.max_length} is not above min_length {node.min_length}",
            ("max_length",),
        )


# ------------------------------------------------------------------- training and diffusion models


@rule("SAT-E038", on=AudioExperiment, reads=("model.conditioning", "training"))
def conditions_in_training(node: AudioExperiment) -> Iterator[Broken]:
    """A conditional diffusion model is trained with conditions."""
    model = getattr(node, "model", None)
    training = getattr(node, "training", None)
    if isinstance(model, DiffusionCondConfig) and training and model.conditioning is None:
        yield Broken(
            "a conditional diffusion model is trained with conditions, but has no conditioning",
            ("model", "conditioning"),
        )


@rule(
    "SAT-E039",
    on=AudioExperiment,
    reads=("model.diffusion.input_concat_ids", "training.inpainting"),
)
def inpainting(node: AudioExperiment) -> Iterator[Broken]:
    """A model for inpainting gets mask and signal as conditions, and is trained with masks."""
    model = getattr(node, "model", None)
    training = getattr(node, "training", None)
    if not isinstance(model, DiffusionCondConfig):
        return
    path: Path = ("model", "diffusion", "input_concat_ids")
    missing = [
        name
        for name in (INPAINT_MASK, INPAINT_SIGNAL)
        if name not in model.diffusion.input_concat_ids
    ]
    tag = type(node).__struct_config__.tag
    masks = getattr(training, "inpainting", None)
    if missing and tag == "diffusion_cond_inpaint":
        yield Broken(f"a model for inpainting lists {' and '.join(missing)} here", path)
    elif len(missing) == 2 and masks is not None:
        yield Broken(
            f"training.inpainting makes {INPAINT_MASK} and {INPAINT_SIGNAL}, which nothing reads",
            path,
        )
    elif len(missing) < 2 and training is not None and masks is None:
        yield Broken(
            "the model takes a mask and a masked signal, which training makes only with inpainting",
            ("training", "inpainting"),
            "{}",
        )


@rule("SAT-E040", on=AudioExperiment, reads=("training.mask_padding", "model.diffusion.type"))
def padding_mask(node: AudioExperiment) -> Iterator[Broken]:
    """Only a transformer can be told what is padding."""
    model = getattr(node, "model", None)
    masked = getattr(getattr(node, "training", None), "mask_padding", False)
    if (
        masked
        and isinstance(model, DiffusionCondConfig)
        and not isinstance(model.diffusion, DiTNode)
    ):
        kind = type(model.diffusion).__struct_config__.tag
        yield Broken(
            f"mask_padding needs a network 'dit', this is {kind!r}",
            ("training", "mask_padding"),
            "false",
        )


# ------------------------------------------------------------------------- diffusion autoencoders


@rule(
    "SAT-E131",
    on=DiffusionAutoencoderConfig,
    reads=("io_channels", "diffusion.config", "decoder", "latent_dim"),
)
def diffusion_decoder(node: DiffusionAutoencoderConfig) -> Iterator[Broken]:
    """The diffusion model has the channels of the signal, and takes those of the latents."""
    network = node.diffusion
    if network.io_channels != node.io_channels:
        yield Broken(
            f"the network has {network.io_channels} channels, the signal has {node.io_channels}",
            ("diffusion", "config"),
        )
    inlet = network.latent_inlet
    want = node.decoder.out_channels if node.decoder else node.latent_dim
    if inlet.width != want:
        whose = "the decoder gives" if node.decoder else "the latents have"
        yield Broken(
            f"{inlet.key} takes {inlet.width} channels, {whose} {want}",
            ("diffusion", "config", inlet.key),
            f"[{want}]" if inlet.key == "context_channels" else str(want),
        )


# -------------------------------------------------------------------------------- language models


@rule("SAT-E052", on=LMModelConfig, reads=("pretransform",))
def discrete(node: LMModelConfig) -> Iterator[Broken]:
    """A language model continues codes, so its pretransform makes them."""
    if not node.pretransform.is_discrete:
        kind = type(node.pretransform).__struct_config__.tag
        inner = " without a bottleneck that quantizes" if kind == "autoencoder" else ""
        yield Broken(f"a pretransform {kind!r}{inner} makes no codes", ("pretransform",))


@rule("SAT-E053", on=LMModelConfig, reads=("lm.codebook_pattern", "pretransform"))
def pattern_fits(node: LMModelConfig) -> Iterator[Broken]:
    """The pattern of codebooks is one for as many as there are."""
    count, pattern = node.pretransform.num_quantizers, node.lm.pattern
    path: Path = ("lm", "codebook_pattern")
    if count is None:
        return
    if isinstance(pattern, MusicLMPatternNode) and count % pattern.group_by:
        yield Broken(f"{count} codebooks make no groups of {pattern.group_by}", path)
    lists = {}
    if isinstance(pattern, DelayPatternNode):
        lists = {"delays": pattern.delays}
    elif isinstance(pattern, UnrollPatternNode):
        lists = {"flattening": pattern.flattening, "delays": pattern.delays}
    for key, given in lists.items():
        if given is not None and len(given) != count:
            yield Broken(f"{len(given)} {key} for {count} codebooks", (*path, key))


@rule("SAT-E055", on=TransformerLMConfig, reads=("cross_attn_cond_dim", "project_cross_attn_cond"))
def projected_conditions(node: TransformerLMConfig) -> Iterator[Broken]:
    """What a language model cross-attends to is projected, as SAT requires."""
    if node.cross_attn_cond_dim and not node.project_cross_attn_cond:
        yield Broken(
            f"cross_attn_cond_dim is {node.cross_attn_cond_dim}, which must be projected",
            ("project_cross_attn_cond",),
            "true",
        )
