import pytest

from sat_config.audio.arc import ARCHeadNode
from sat_config.audio.bottleneck import BottleneckNode
from sat_config.audio.conditioner import ConditionerNode
from sat_config.audio.dataset import DatasetNode
from sat_config.audio.decoder import DecoderNode
from sat_config.audio.diffusion import (
    DiffusionAutoencoderBackboneNode,
    DiffusionBackboneNode,
    DiffusionUncondNode,
)
from sat_config.audio.discriminator import DiscriminatorNode
from sat_config.audio.encoder import EncoderNode
from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.lm import CodebookPatternNode, LMBackboneNode
from sat_config.audio.pretransform import PretransformNode
from sat_config.registry import current
from sat_models import MissingBuilderError, build_model
from sat_models.backbones.autoencoder import build_autoencoder_backbone
from sat_models.backbones.base import build_backbone, build_conditioned_backbone
from sat_models.bottlenecks.base import build_bottleneck
from sat_models.build import load_builtin
from sat_models.conditioners.base import build_conditioner
from sat_models.data.build import build_dataset
from sat_models.decoders.base import build_decoder
from sat_models.discriminators.arc import build_arc_head
from sat_models.discriminators.base import build_discriminator
from sat_models.encoders.base import build_encoder
from sat_models.language.backbone import build_lm_backbone
from sat_models.language.build_patterns import build_pattern
from sat_models.pretransforms.base import build_pretransform

BUILDERS = {
    ARCHeadNode: build_arc_head,
    AudioExperiment: build_model,
    BottleneckNode: build_bottleneck,
    CodebookPatternNode: build_pattern,
    ConditionerNode: build_conditioner,
    DatasetNode: build_dataset,
    DecoderNode: build_decoder,
    DiffusionAutoencoderBackboneNode: build_autoencoder_backbone,
    DiffusionBackboneNode: build_conditioned_backbone,
    DiffusionUncondNode: build_backbone,
    DiscriminatorNode: build_discriminator,
    EncoderNode: build_encoder,
    LMBackboneNode: build_lm_backbone,
    PretransformNode: build_pretransform,
}
SETTINGS = {"optimizer", "scheduler", "condition display"}
"""Families that say how to train or show something, not what to build here."""

MEMBERS = [
    pytest.param(base, member, id=f"{family.name}-{tag}".replace(" ", "_"))
    for base, family in current().families.items()
    for tag, member in family.members.items()
    if family.name not in SETTINGS
]


class StrangeEncoder(EncoderNode, kw_only=True, tag="strange"):
    pass


@pytest.mark.parametrize(("base", "member"), MEMBERS)
def test_every_union_member_has_a_builder_of_its_own(base, member):
    load_builtin()
    assert member in BUILDERS[base].registry


def test_unknown_node_raises_naming_its_class():
    with pytest.raises(MissingBuilderError, match=r"StrangeEncoder; the package that declares it"):
        build_encoder(StrangeEncoder())


def test_unknown_experiment_raises_naming_its_class():
    with pytest.raises(MissingBuilderError, match="AudioExperiment"):
        build_model(AudioExperiment(sample_rate=8000, sample_size=64))


def test_builders_are_loaded_once():
    load_builtin()
    assert load_builtin() is False
