"""Every type of every audio family, from `forms/`: what must be given, and all that can be."""

from collections.abc import Iterator

import audio_forms
import pytest
from audio_forms import BLOCKS, FAMILIES, changed, form, members, read

import sat_config
from sat_config import convert, encode, registry, schema
from sat_config.audio.experiment import AudioExperiment

FORMS = [pytest.param(*row, id="-".join(row[:3])) for row in audio_forms.forms()]
FULL = [row for row in FORMS if row.values[2] == "full"]
LEAST = [row for row in FORMS if row.values[2] == "least"]

SPARE = {
    ("fsq", "keep_num_codebooks_dim"),
    ("pretransform", "use_model_pretransform"),
    ("source_mix", "use_model_pretransform"),
    ("OneCycleLR", "total_steps"),
}
"""Keys of the least forms without which a node decodes, but breaks a rule."""

PART_OF_OTHERS = {"autoencoder"}
"""A pretransform that is a whole autoencoder, with forms of its own."""


def test_forms_cover_every_member():
    for family in FAMILIES:
        named = {tag for name, tag, *_ in audio_forms.forms() if name == family}
        assert set(members(family)) - named <= PART_OF_OTHERS, family
        assert named <= set(members(family)), family


@pytest.mark.parametrize(("family", "tag", "kind", "node"), FORMS)
@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")
def test_node_survives_a_round_trip(family, tag, kind, node):
    decoded = sat_config.decode(node, type=FAMILIES[family])
    assert type(decoded) is members(family)[tag]
    assert read(encode.plain(decoded), FAMILIES[family]) == decoded


@pytest.mark.parametrize(("family", "tag", "kind", "node"), FULL)
def test_full_form_names_every_key(family, tag, kind, node):
    cls = members(family)[tag]
    assert set(node) - {"type"} == set(schema.fields(cls)) - {"pretransform"}
    if "config" in node:
        assert set(node["config"]) == set(schema.fields(config_of(cls)))


def config_of(cls):
    return schema.fields(cls)["config"].slot.structs[0]


@pytest.mark.parametrize(("family", "tag", "kind", "node"), LEAST)
def test_node_is_closed_to_unknown_keys(family, tag, kind, node):
    inside = {"config__no_such_key": 1} if "config" in node else {"no_such_key": 1}
    with pytest.raises(sat_config.ConfigError, match="no_such_key"):
        sat_config.decode(changed(node, **inside), type=FAMILIES[family])


@pytest.mark.parametrize(("family", "tag", "kind", "node"), LEAST)
def test_node_without_a_required_key_is_refused(family, tag, kind, node):
    needed = [f"config__{key}" for key in node.get("config", {}) if (tag, key) not in SPARE]
    cls = members(family)[tag]
    needed += [key for key in node if key != "type" and schema.fields(cls)[key].required]
    for path in needed:
        with pytest.raises(sat_config.ConfigError, match=path.split("__")[-1]):
            sat_config.decode(changed(node, **{path: None}), type=FAMILIES[family])


# -------------------------------------------------------------------------------- training blocks


@pytest.mark.parametrize("model_type", BLOCKS)
@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")
def test_block_survives_a_round_trip(model_type):
    kind = BLOCKS[model_type]
    for block in ({"learning_rate": 1e-4}, audio_forms.training_block(model_type)):
        decoded = sat_config.decode(block, type=kind)
        assert convert.convert(encode.plain(decoded), kind) == decoded


@pytest.mark.parametrize("model_type", BLOCKS)
def test_full_block_names_every_key(model_type):
    block = audio_forms.training_block(model_type)
    assert set(_unnamed(block, schema.struct_slot(BLOCKS[model_type]))) == set()


def _unnamed(value: object, slot: schema.Slot) -> Iterator[str]:
    """Keys below a slot that the table leaves out; other documents and nodes of forms apart."""
    if isinstance(value, list) and slot.item is not None:
        for item in value:
            yield from _unnamed(item, slot.item)
    cls = slot.struct_for(value) if isinstance(value, dict) else None
    elsewhere = (AudioExperiment, FAMILIES["optimizer"], FAMILIES["scheduler"])
    if cls is None or issubclass(cls, (*elsewhere, FAMILIES["discriminator"])):
        return
    for key, field in schema.fields(cls).items():
        if key not in value:
            yield f"{cls.__name__}.{key}"
        else:
            yield from _unnamed(value[key], field.slot)


# ------------------------------------------------------------------- what a change of type keeps


def test_only_what_surrounds_a_network_survives_a_change_of_its_type():
    ways = {"cross_attention_cond_ids", "global_cond_ids", "prepend_cond_ids"}
    kept = {family: set(schema.fields(base)) for family, base in FAMILIES.items()}
    outer = {"diffusion_objective", "input_concat_ids", "distribution_shift_options"}
    assert kept["cond_backbone"] == ways | outer
    assert kept["conditioner"] == {"id"}
    assert kept["uncond_backbone"] == {"pretransform"}
    assert kept["autoencoder_backbone"] == set()
    assert kept["lm_backbone"] == ways | {"codebook_pattern"}


def test_refused_tag_has_no_member():
    for family, base in FAMILIES.items():
        refused = registry.current().families[base].refused
        assert not refused.keys() & members(family).keys()
    with pytest.raises(registry.RegistryError, match="AdamW"):
        registry.refuse(FAMILIES["optimizer"], "AdamW", "no")
    with pytest.raises(registry.RegistryError, match="ExperimentInfo"):
        registry.refuse(sat_config.run.ExperimentInfo, "Adam", "no family")


def test_form_is_a_copy():
    form("encoder", "oobleck")["config"]["channels"] = 3
    assert form("encoder", "oobleck")["config"] == {}
