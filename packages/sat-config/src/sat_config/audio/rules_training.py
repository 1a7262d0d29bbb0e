"""What must fit together in training blocks, and between them and the rest of a document."""

from collections.abc import Iterator

import sat_config.audio.rules_loss
import sat_config.audio.rules_optimizer  # noqa: F401 - enters the rules
from sat_config.audio.arc import ARC, ConvHeadNode
from sat_config.audio.autoencoder import AutoencoderConfig
from sat_config.audio.conditioner import ConditioningConfig
from sat_config.audio.dataset import DatasetNode, PreEncodedNode, WebDatasetNode
from sat_config.audio.demo import DiffusionCondDemo, LMDemo
from sat_config.audio.diffusion import DiffusionCondConfig, DiTNode
from sat_config.audio.discriminator import OobleckDiscriminatorNode
from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.inpainting import MaskConfig
from sat_config.audio.loss import BottleneckWeights
from sat_config.audio.optimizer import FusedAdamNode, OptimizerGroup
from sat_config.audio.scheduler import OneCycleLRNode
from sat_config.audio.training import (
    AutoencoderTraining,
    ConditionalTraining,
    DiffusionAutoencoderTraining,
    TimestepSamplerOptions,
    TunedTraining,
)
from sat_config.errors import Path
from sat_config.rules import Broken, rule

# ------------------------------------------------------------------------------------- optimizers


@rule("SAT-E201", on=TunedTraining, reads=("learning_rate", "optimizer_configs"))
def some_rate(node: TunedTraining) -> Iterator[Broken]:
    """Something sets the learning rate."""
    if node.learning_rate is None and node.optimizer_configs is None:
        yield Broken(
            "nothing sets a learning rate: give learning_rate or optimizer_configs",
            ("learning_rate",),
            "1e-4",
        )


@rule(
    "SAT-W202",
    on=TunedTraining,
    reads=("learning_rate", "optimizer_configs"),
    severity="warning",
)
def one_rate(node: TunedTraining) -> Iterator[Broken]:
    """Only one thing sets the learning rate."""
    if node.learning_rate is not None and node.optimizer_configs is not None:
        yield Broken(
            f"learning_rate {node.learning_rate} has no effect: optimizer_configs sets the rates",
            ("learning_rate",),
        )


@rule(
    "SAT-E203",
    on=AutoencoderTraining,
    reads=("loss_configs.discriminator", "optimizer_configs.discriminator"),
)
def discriminator_optimizer(node: AutoencoderTraining) -> Iterator[Broken]:
    """A discriminator has an optimizer."""
    if (
        node.loss_configs.discriminator is not None
        and node.optimizer_configs is not None
        and node.optimizer_configs.discriminator is None
    ):
        yield Broken(
            "there is a discriminator (loss_configs.discriminator), but no optimizer for it",
            ("optimizer_configs", "discriminator"),
        )


@rule(
    "SAT-W204",
    on=AutoencoderTraining,
    reads=("loss_configs.discriminator", "optimizer_configs.discriminator"),
    severity="warning",
)
def idle_optimizer(node: AutoencoderTraining) -> Iterator[Broken]:
    """The discriminator's optimizer has a discriminator."""
    if (
        node.loss_configs.discriminator is None
        and node.optimizer_configs is not None
        and node.optimizer_configs.discriminator is not None
    ):
        yield Broken(
            "this optimizer has no effect: loss_configs has no discriminator",
            ("optimizer_configs", "discriminator"),
        )


@rule("SAT-E209", on=AudioExperiment, reads=("max_steps", "training.optimizer_configs"))
def steps_of_cycle(node: AudioExperiment) -> Iterator[Broken]:
    """OneCycleLR lasts as long as training does, for it cannot be stepped beyond its end."""
    groups = list(_groups(node))
    if len(groups) != 1 or node.max_steps is None:
        return
    path, group = groups[0]
    if isinstance(group.scheduler, OneCycleLRNode):
        steps = group.scheduler.config.steps
        if steps is not None and steps < node.max_steps:
            yield Broken(
                f"OneCycleLR ends after {steps} steps, training after {node.max_steps}; the step"
                " after the end stops the run",
                (*path, "scheduler", "config", "total_steps"),
                str(node.max_steps),
            )


@rule("SAT-E230", on=AudioExperiment, reads=("accelerator", "training.optimizer_configs"))
def fused_on_gpu(node: AudioExperiment) -> Iterator[Broken]:
    """FusedAdam runs on a GPU."""
    for path, group in _groups(node):
        if isinstance(group.optimizer, FusedAdamNode) and node.accelerator in ("cpu", "mps"):
            yield Broken(
                f"FusedAdam needs a CUDA GPU, the accelerator is {node.accelerator!r}",
                (*path, "optimizer", "type"),
                '"AdamW"',
            )


def _groups(node: AudioExperiment) -> Iterator[tuple[Path, OptimizerGroup]]:
    """The optimizers that a document names, each with its path."""
    training = getattr(node, "training", None)
    configs = training.optimizer_configs if isinstance(training, TunedTraining) else None
    for name in configs.__struct_fields__ if configs else ():
        group = getattr(configs, name)
        if isinstance(group, OptimizerGroup):
            yield ("training", "optimizer_configs", name), group


@rule("SAT-E214", on=AudioExperiment, reads=("gradient_clip_val", "training.clip_grad_norm"))
def one_clip(node: AudioExperiment) -> Iterator[Broken]:
    """Gradients are clipped in one place."""
    norm = getattr(getattr(node, "training", None), "clip_grad_norm", 0.0)
    if norm and node.gradient_clip_val:
        yield Broken(
            f"gradients would be clipped twice: to {node.gradient_clip_val} by gradient_clip_val"
            f" and to {norm} here",
            ("training", "clip_grad_norm"),
            "0.0",
        )


# ------------------------------------------------------------------------------------------- data


@rule("SAT-E041", on=AudioExperiment, reads=("training.pre_encoded", "dataset", "val_dataset"))
def latents_or_audio(node: AudioExperiment) -> Iterator[Broken]:
    """`training.pre_encoded` says truly whether a dataset holds latents."""
    training = getattr(node, "training", None)
    if training is None:
        return
    expected = getattr(training, "pre_encoded", None)
    for key, dataset in (("dataset", node.dataset), ("val_dataset", node.val_dataset)):
        if dataset is None or _holds_latents(dataset) == bool(expected):
            continue
        kind = type(dataset).__struct_config__.tag
        if expected is None:
            yield Broken(f"{kind!r} holds latents, but this model is trained on audio", (key,))
        else:
            yield Broken(
                f"training.pre_encoded is {str(expected).lower()}, but {key} is {kind!r}, which"
                f" holds {'audio' if expected else 'latents'}",
                ("training", "pre_encoded"),
                str(not expected).lower(),
            )


def _holds_latents(node: DatasetNode) -> bool:
    return isinstance(node, PreEncodedNode) or (
        isinstance(node, WebDatasetNode) and node.pre_encoded
    )


@rule(
    "SAT-W225",
    on=AudioExperiment,
    reads=("training.eval_loss_configs", "val_dataset"),
    severity="warning",
)
def data_to_measure(node: AudioExperiment) -> Iterator[Broken]:
    """What is measured in validation has a validation set."""
    training = getattr(node, "training", None)
    if (
        isinstance(training, AutoencoderTraining)
        and training.eval_loss_configs is not None
        and node.dataset is not None
        and node.val_dataset is None
    ):
        yield Broken(
            "these are measured on val_dataset, which there is none of",
            ("training", "eval_loss_configs"),
        )


# ----------------------------------------------------------------------------------- autoencoders


@rule(
    "SAT-E044",
    on=AudioExperiment,
    reads=("training.loss_configs.discriminator.config.in_channels", "model"),
)
def discriminator_channels(node: AudioExperiment) -> Iterator[Broken]:
    """The discriminator has the channels of the audio that the autoencoder gives."""
    model, training = getattr(node, "model", None), getattr(node, "training", None)
    if not isinstance(model, AutoencoderConfig) or not isinstance(training, AutoencoderTraining):
        return
    critic = training.loss_configs.discriminator
    if not isinstance(critic, OobleckDiscriminatorNode):
        return
    if critic.config.in_channels != model.audio_channels:
        yield Broken(
            f"the discriminator has {critic.config.in_channels} channels, the autoencoder gives"
            f" {model.audio_channels}",
            ("training", "loss_configs", "discriminator", "config", "in_channels"),
            str(model.audio_channels),
        )


@rule(
    "SAT-W219",
    on=AudioExperiment,
    reads=("training.loss_configs.bottleneck.weights", "model.bottleneck.type"),
    severity="warning",
)
def bottleneck_weights(node: AudioExperiment) -> Iterator[Broken]:
    """A weight is set for losses that the bottleneck has."""
    model, training = getattr(node, "model", None), getattr(node, "training", None)
    if not isinstance(model, AutoencoderConfig) or not isinstance(training, AutoencoderTraining):
        return
    weights, defaults = training.loss_configs.bottleneck.weights, BottleneckWeights()
    reported = model.bottleneck.losses if model.bottleneck else ()
    kind = repr(type(model.bottleneck).__struct_config__.tag) if model.bottleneck else "absent"
    path: Path = ("training", "loss_configs", "bottleneck", "weights")
    for name in weights.__struct_fields__:
        if getattr(weights, name) not in (getattr(defaults, name), 0) and name not in reported:
            yield Broken(
                f"the bottleneck is {kind} and has no loss {name!r}, so its weight has no effect",
                (*path, name),
            )
    if "softnorm" in reported and not weights.softnorm:
        yield Broken(
            "the weight of the softnorm loss is 0, so nothing shapes the latents",
            (*path, "softnorm"),
        )


@rule("SAT-E215", on=AudioExperiment, reads=("training.teacher_model", "model.latent_dim"))
def teacher(node: AudioExperiment) -> Iterator[Broken]:
    """The teacher of an autoencoder is one, with latents of the same width."""
    model, training = getattr(node, "model", None), getattr(node, "training", None)
    if not isinstance(model, AutoencoderConfig) or not isinstance(training, AutoencoderTraining):
        return
    document = training.teacher_model
    if document is None:
        return
    path: Path = ("training", "teacher_model")
    taught = getattr(document, "model", None)
    if not isinstance(taught, AutoencoderConfig):
        kind = type(document).__struct_config__.tag
        yield Broken(f"a model of type {kind!r} cannot teach an autoencoder", (*path, "model_type"))
    elif taught.latent_dim != model.latent_dim:
        yield Broken(
            f"the teacher's latents have {taught.latent_dim} channels, the model's"
            f" {model.latent_dim}",
            (*path, "model", "latent_dim"),
        )


@rule("SAT-E048", on=AutoencoderTraining, reads=("teacher_model", "teacher_model_ckpt"))
def teacher_weights(node: AutoencoderTraining) -> Iterator[Broken]:
    """A teacher has weights, and weights have a teacher."""
    yield from _weights_of_teacher(node.teacher_model is not None, node.teacher_model_ckpt)


def _weights_of_teacher(teacher: bool, checkpoint: str | None) -> Iterator[Broken]:
    if teacher and not checkpoint:
        yield Broken(
            "the teacher has no weights: teacher_model_ckpt is not given", ("teacher_model_ckpt",)
        )
    elif checkpoint and not teacher:
        yield Broken("these weights have no teacher to go into", ("teacher_model_ckpt",))


@rule(
    "SAT-E216",
    on=AudioExperiment,
    reads=("training.use_reconstruction_loss", "model.pretransform"),
)
def reconstruction_loss(node: AudioExperiment) -> Iterator[Broken]:
    """A reconstruction loss has a pretransform to decode with."""
    training, model = getattr(node, "training", None), getattr(node, "model", None)
    if (
        isinstance(training, DiffusionAutoencoderTraining)
        and training.use_reconstruction_loss
        and getattr(model, "pretransform", None) is None
    ):
        yield Broken(
            "use_reconstruction_loss decodes with the pretransform, which there is none of",
            ("training", "use_reconstruction_loss"),
            "false",
        )


# -------------------------------------------------------------------------------------- diffusion


@rule("SAT-E050", on=MaskConfig, reads=("mask_type_probabilities",))
def mask_types(node: MaskConfig) -> Iterator[Broken]:
    """There are three kinds of masks, and each mask is of one of them."""
    shares = node.mask_type_probabilities
    if len(shares) != 3:
        yield Broken(
            f"{len(shares)} probabilities for three kinds of masks (segments, all, causal)",
            ("mask_type_probabilities",),
        )
    elif abs(sum(shares) - 1) > 1e-6:
        yield Broken(
            f"{' + '.join(map(str, shares))} = {sum(shares):g}, which must be 1",
            ("mask_type_probabilities",),
        )


@rule(
    "SAT-W218",
    on=ConditionalTraining,
    reads=(
        "arc",
        "timestep_sampler",
        "timestep_sampler_options",
        "p_one_shot",
        "mask_padding",
        "log_loss_info",
    ),
    severity="warning",
)
def idle_keys(node: ConditionalTraining) -> Iterator[Broken]:
    """What is set has an effect, given the rest."""
    if node.arc is not None:
        for key in _UNREAD_BY_ARC:
            if getattr(node, key) != getattr(_UNSET, key):
                yield Broken(f"{key} has no effect under arc", (key,))
        return
    if node.timestep_sampler != "log_snr" and (
        node.timestep_sampler_options != TimestepSamplerOptions()
    ):
        yield Broken(
            f'these options are for "log_snr", the timestep sampler is "{node.timestep_sampler}"',
            ("timestep_sampler_options",),
        )
    if node.mask_padding_dropout and not node.mask_padding:
        yield Broken("it has no effect without mask_padding", ("mask_padding_dropout",))
    if node.clip_grad_norm:
        yield Broken(
            "it acts under arc only; gradient_clip_val, at the root, acts here", ("clip_grad_norm",)
        )
    if node.trim_config is not None:
        yield Broken("it acts under arc only", ("trim_config",))


_UNREAD_BY_ARC = (
    "timestep_sampler",
    "timestep_sampler_options",
    "p_one_shot",
    "mask_padding",
    "mask_padding_dropout",
    "log_loss_info",
)
_UNSET = ConditionalTraining()


# -------------------------------------------------------------------------------------------- arc


@rule(
    "SAT-E049",
    on=AudioExperiment,
    reads=("training.arc", "training.optimizer_configs", "model.diffusion"),
)
def adversarial(node: AudioExperiment) -> Iterator[Broken]:
    """ARC has straight paths, a network to look into, a layer of it, two optimizers, a teacher."""
    training = getattr(node, "training", None)
    if not isinstance(training, ConditionalTraining) or training.arc is None:
        return
    configs = training.optimizer_configs
    if configs is None or configs.discriminator is None:
        yield Broken(
            "arc needs optimizers for the model and for the discriminator",
            ("training", "optimizer_configs", *(("discriminator",) if configs else ())),
        )
    path: Path = ("training", "arc")
    for found in (*_arc_teacher(training.arc), *_arc_critic(training.arc, node)):
        yield Broken(found.message, (*path, *found.path), found.fix)
    yield from _arc_path(node, ())
    if training.arc.teacher_model is not None:
        yield from _arc_path(training.arc.teacher_model, (*path, "teacher_model"))


def _arc_path(node: AudioExperiment, where: Path) -> Iterator[Broken]:
    model = getattr(node, "model", None)
    if isinstance(model, DiffusionCondConfig) and model.diffusion.diffusion_objective == "v":
        yield Broken(
            "arc trains along straight paths from data to noise, which is not how this model is"
            " sampled",
            (*where, "model", "diffusion", "diffusion_objective"),
            '"rf_denoiser"',
        )


def _arc_teacher(arc: ARC) -> Iterator[Broken]:
    has_teacher = arc.teacher_model is not None or arc.use_model_as_teacher
    yield from _weights_of_teacher(has_teacher, arc.teacher_model_ckpt)
    if arc.ode_warmup is not None and arc.ode_warmup.warmup_steps and not has_teacher:
        yield Broken(
            "the warmup follows a teacher, but there is neither teacher_model nor"
            " use_model_as_teacher",
            ("ode_warmup",),
        )


def _arc_critic(arc: ARC, node: AudioExperiment) -> Iterator[Broken]:
    base = arc.discriminator_base_model
    if base is None and not arc.use_model_as_discriminator:
        yield Broken(
            "nothing says which network the discriminator looks into: give"
            " discriminator_base_model, or build it like the model",
            ("use_model_as_discriminator",),
            "true",
        )
        return
    model = getattr(base or node, "model", None)
    if not isinstance(model, DiffusionCondConfig) or not isinstance(model.diffusion, DiTNode):
        yield Broken(
            "the discriminator looks into a diffusion transformer, which this model has none of",
            ("discriminator_base_model" if base else "use_model_as_discriminator",),
        )
        return
    network = model.diffusion
    layer, depth = arc.discriminator.dit_hidden_layer, network.config.depth
    if layer >= depth:
        yield Broken(
            f"the network has {depth} layers, 0 to {depth - 1}; there is no layer {layer}",
            ("discriminator", "dit_hidden_layer"),
            str(depth - 1),
        )
    if arc.discriminator.contrastive and node.batch_size == 1:
        yield Broken(
            "it moves prompts to other items, but batches have only one",
            ("discriminator", "contrastive"),
            "false",
        )
    if arc.discriminator.contrastive and _PROMPT not in _conditions(model):
        yield Broken(
            f"it moves prompts to other items, but no conditioner of the network is {_PROMPT!r}",
            ("discriminator", "contrastive"),
            "false",
        )
    width = network.config.embed_dim
    if isinstance(arc.discriminator, ConvHeadNode) and width % 32:
        yield Broken(
            f"the head {'conv'!r} works in 32 groups, which do not divide the network's width"
            f" {width}",
            ("discriminator", "type"),
            '"convnext"',
        )


_PROMPT = "prompt"


def _conditions(model: DiffusionCondConfig) -> set[str]:
    """What the conditioners of a model read of the metadata."""
    conditioning = model.conditioning
    if conditioning is None:
        return set()
    return {*(node.id for node in conditioning.configs), *conditioning.default_keys.values()}


# ------------------------------------------------------------------------------------------ demos


@rule("SAT-E061", on=AudioExperiment, reads=("training.demo.num_demos", "training.demo.demo_cond"))
def demo_count(node: AudioExperiment) -> Iterator[Broken]:
    """There are as many demo conditions as demos."""
    demo = _given_conditions(node)
    if demo is None:
        return
    found = len(demo.demo_cond or ())
    if found != demo.num_demos:
        yield Broken(
            f"num_demos is {demo.num_demos}, but demo_cond has {found}"
            f" {'entry' if found == 1 else 'entries'}",
            ("training", "demo", "num_demos" if found else "demo_cond"),
            str(found) if found else None,
        )


@rule("SAT-E220", on=AudioExperiment, reads=("training.demo.demo_cond", "model.conditioning"))
def demo_keys(node: AudioExperiment) -> Iterator[Broken]:
    """Every demo condition has what each conditioner reads."""
    demo = _given_conditions(node)
    conditioning = getattr(getattr(node, "model", None), "conditioning", None)
    if demo is None or not isinstance(conditioning, ConditioningConfig):
        return
    for number, entry in enumerate(demo.demo_cond or ()):
        missing = [
            name
            for name in conditioning.ids
            if name not in entry and conditioning.default_keys.get(name) not in entry
        ]
        if missing:
            yield Broken(
                f"the conditioners read {', '.join(conditioning.ids)}; this entry lacks"
                f" {' and '.join(missing)}",
                ("training", "demo", "demo_cond", number),
            )


def _given_conditions(node: AudioExperiment) -> DiffusionCondDemo | LMDemo | None:
    """The demo, if it renders conditions that the document lists."""
    demo = getattr(getattr(node, "training", None), "demo", None)
    if isinstance(demo, DiffusionCondDemo):
        return None if demo.demo_cond_from_batch else demo
    if isinstance(demo, LMDemo) and demo.demo_cond is not None:
        return demo
    return None
