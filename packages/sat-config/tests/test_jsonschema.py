"""The schema that editors read, tried with a validator of JSON Schema."""

import pathlib

import pytest

import sat_config
from sat_config import jsonschema, registry
from sat_config.audio.bottleneck import BottleneckNode
from sat_config.audio.experiment import AutoencoderExperiment

validation = pytest.importorskip("jsonschema")

EXPERIMENTS = sorted(pathlib.Path(__file__).parents[3].glob("configs/experiments/*.toml"))
SCHEMA = jsonschema.json_schema()


def errors(document, schema=SCHEMA):
    """Path and message of the deepest errors."""
    found = validation.Draft202012Validator(schema).iter_errors(document)
    return [
        (".".join(map(str, best.absolute_path)), best.message)
        for error in found
        for best in [validation.exceptions.best_match([error])]
    ]


@pytest.fixture
def document():
    (quickstart,) = (path for path in EXPERIMENTS if path.stem == "quickstart")
    return sat_config.plain(sat_config.load(quickstart))


def refs(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for item in value.values():
            yield from refs(item)
    elif isinstance(value, list):
        for item in value:
            yield from refs(item)


def test_schema_is_one_and_every_reference_leads_somewhere():
    validation.Draft202012Validator.check_schema(SCHEMA)
    assert {ref.removeprefix("#/$defs/") for ref in refs(SCHEMA)} == set(SCHEMA["$defs"])


def test_every_family_and_member_is_in_it():
    roots = {"model type"}
    for entry in registry.current().families.values():
        if entry.name not in roots and entry.base.__name__ in SCHEMA["$defs"]:
            union = SCHEMA["$defs"][entry.base.__name__]
            assert union["properties"][entry.tag_path[0]]["enum"] == list(entry.members)
    assert "BottleneckNode" in SCHEMA["$defs"]
    assert "OptimizerNode" in SCHEMA["$defs"]


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_shipped_experiment_is_valid(path):
    assert errors(sat_config.plain(sat_config.load(path))) == []


def test_layer_needs_nothing():
    layer = jsonschema.json_schema(layer=True)
    assert errors({"include": ["a.toml"], "model_type": "autoencoder"}, layer) == []
    assert errors({"model_type": "autoencoder"})


def test_mistakes_are_named_by_their_path(document):
    document["model"]["encoder"]["config"]["use_snaek"] = True
    document["batch_size"] = 0
    document["model"]["bottleneck"]["type"] = "rqv"
    found = dict(errors(document))
    assert "use_snaek" in found["model.encoder.config"]
    assert "minimum" in found["batch_size"]
    assert "'rqv' is not one of" in found["model.bottleneck.type"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("precision", "fp16"), ("seed", 1.5), ("name", ""), ("recover", "false"), ("devices", [])],
)
def test_wrong_value_is_refused_where_it_stands(document, key, value):
    document[key] = value
    assert {path.split(".")[0] for path, _ in errors(document)} == {key}


def test_description_and_default_of_a_field_are_there():
    root = SCHEMA["$defs"]["AutoencoderExperiment"]["properties"]
    assert root["seed"]["default"] == 42
    assert root["seed"]["description"].startswith("Seeds weights")
    assert "include" in root


def test_single_family_and_single_struct_have_schemas():
    family = jsonschema.json_schema(BottleneckNode)
    assert errors({"type": "vae"}, family) == []
    assert errors({"type": "fsq"}, family)
    assert jsonschema.json_schema(AutoencoderExperiment)["$ref"].endswith("AutoencoderExperiment")


def test_null_is_no_table():
    assert errors(None)
    assert errors({"type": "vae", "config": None}, jsonschema.json_schema(BottleneckNode))


def test_documents_have_schemas_of_their_own(document):
    model = {key: document[key] for key in ("model_type", "sample_rate", "sample_size", "model")}
    schemas = {name: jsonschema.document_schema(name) for name in jsonschema.DOCUMENTS}
    for found in schemas.values():
        validation.Draft202012Validator.check_schema(found)
    assert errors(model, schemas["model"]) == []
    assert errors({**model, "demo": {}}, schemas["model"])
    assert errors({**model, "batch_size": 3}, schemas["model"])
    assert errors(document["dataset"], schemas["dataset"]) == []
    assert errors({**document["dataset"], "x": 1}, schemas["dataset"])
    assert errors(document["training"], schemas["training"]) == []
    assert errors({"learning_rat": 1}, schemas["training"])
    assert errors({"batch_size": 3}, schemas["layer"]) == []
    assert errors({"batch_size": 3}, schemas["experiment"])


def test_layer_without_a_tag_still_has_the_keys_that_all_types_share():
    layer = jsonschema.document_schema("layer")
    assert errors({"batch_size": 3, "dataset": {"dataset_type": "audio_dir"}}, layer) == []
    assert {path for path, _ in errors({"batch_size": 0, "seed": "x"}, layer)} == {
        "seed",
        "batch_size",
    }


def test_group_of_hydra_takes_interpolations_and_what_hydra_reads():
    group = jsonschema.document_schema("group")
    document = {
        "model_type": "autoencoder",
        "defaults": ["_self_", {"/training": "x"}],
        "_width": 8,
        "batch_size": "${_width}",
        "precision": "???",
        "model": {"bottleneck": {"type": "fsq", "config": {"levels": "${_levels}"}}},
        "dataset": {"dataset_type": "s3", "datasets": [{"id": "a", "s3_path": "${oc.env:BUCKET}"}]},
    }
    assert errors(document, group) == []
    for wrong in ({"batch_size": "3"}, {"precision": "fp16"}, {"sede": 3}, {"model": "x"}):
        assert errors({**document, **wrong}, group)


@pytest.mark.parametrize("tag", list(registry.current().roots()[0].members))
def test_every_kind_of_document_may_include_others(tag):
    layer = {"model_type": tag, "include": ["a.toml"], "overrides": ["seed=1"]}
    assert errors(layer, jsonschema.document_schema("layer")) == []
    assert errors(
        {**layer, "training": {"teacher_model": layer}}, jsonschema.document_schema("layer")
    )
