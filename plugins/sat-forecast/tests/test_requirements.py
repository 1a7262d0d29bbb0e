"""The requirements of the layered configuration, each by its name."""

import copy
import json

import pytest
import yaml

import sat_config
from sat_config import registry, rules
from sat_forecast import schema

MODELS = {"lstm": "TrafficLSTM", "xlstm": "TrafficXLSTM", "transformer": "Transformer"}


def resolve(layers, *names, words=()):
    first, *rest = (layers / f"{name}.yaml" for name in names)
    return sat_config.load(first, words, rest)


def problems(*paths, words=()):
    return sat_config.check(paths[0], words, paths[1:]).problems


def family():
    return registry.current().families[schema.ForecastExperiment]


# ----------------------------------------------------------------------------------------- registry


@pytest.mark.parametrize(("section", "name"), MODELS.items())
def test_r1_name_picks_config_class_and_key(section, name):
    cls = family().members[name]
    assert registry.own_section(cls) == ("model", section)
    assert cls.__name__.endswith("Experiment")


def test_r2_built_in_names():
    assert {"TrafficLSTM", "TrafficXLSTM", "Transformer"} <= set(family().members)


def test_r4_unknown_name_lists_those_that_there_are(write):
    (problem,) = problems(write("a.yaml", "model: {name: TrafficGRU}\n"))
    assert problem.path == ("model", "name")
    text = f"{problem.message} {problem.allowed} {problem.suggestion}"
    assert all(name in text for name in MODELS.values())


@pytest.mark.parametrize("text", ["data: {num_vds: 1}\n", "model: {lstm: {hidden_size: 8}}\n"])
def test_r4_missing_model_or_name(write, text):
    (problem,) = problems(write("a.yaml", text))
    assert "model.name" in f"{problem.message} {problem.allowed}"


def test_r4_missing_payload_is_filled_from_the_data(write):
    config = sat_config.load(write("a.yaml", "model: {name: TrafficLSTM}\n"))
    assert config.model.lstm == schema.LSTMNetwork(
        input_size=3, output_size=3, sequence_length=12, prediction_length=1
    )


def test_r5_unknown_parameter_is_an_error_with_its_path(write):
    (problem,) = problems(write("a.yaml", "model:\n  name: TrafficXLSTM\n  xlstm: {foo: 1}\n"))
    assert (problem.code, problem.path, problem.line) == (
        "unknown-key",
        ("model", "xlstm", "foo"),
        3,
    )


def test_r6_sections_are_checked_one_by_one(write):
    text = "model: {name: TrafficLSTM, lstm: {hidden_size: 1}}\ndata: {stride: 0}\n"
    found = {problem.path for problem in problems(write("a.yaml", text))}
    assert found == {("model", "lstm", "hidden_size"), ("data", "stride")}
    with pytest.raises(sat_config.ConfigError, match="stride"):
        sat_config.decode({"stride": 0}, type=schema.ForecastData)


# ----------------------------------------------------------------------------- layers and merging


def test_l1_model_below_data_below_training_below_command_line(write):
    files = [
        write("model.yaml", "layer: model\nmodel: {name: TrafficLSTM}\nseed: 1\n"),
        write("data.yaml", "layer: data\nseed: 2\n"),
        write("training.yaml", "layer: training\nseed: 3\n"),
    ]
    assert sat_config.load(files[0], ["seed=4"], files[1:]).seed == 4
    for count in (3, 2, 1):
        assert sat_config.load(files[0], layers=files[1:count]).seed == count


def test_l2_mappings_merge_and_lists_replace(layers, write):
    over = write("over.yaml", "model: {xlstm: {slstm_at: [0]}}\n")
    network = sat_config.load(layers / "models/xlstm_base.yaml", layers=[over]).model.xlstm
    assert (network.slstm_at, network.num_blocks) == ((0,), 6)


def test_l3_files_apply_from_left_to_right(layers):
    model = layers / "models/lstm_base.yaml"
    pair = [layers / "data/single.yaml", layers / "data/multi_vd_5.yaml"]
    assert sat_config.load(model, layers=pair).data.num_vds == 5
    assert sat_config.load(model, layers=pair[::-1]).data.num_vds == 1


def test_l4_merging_changes_no_input():
    base = {"model": {"name": "TrafficLSTM", "lstm": {"hidden_size": 8}}}
    over = {"model": {"lstm": {"num_layers": 1}}}
    before = copy.deepcopy([base, over])
    sat_config.load(base, ["model.lstm.dropout=0.5"], [over])
    assert [base, over] == before


def test_l5_clash_names_both_files(write):
    files = write("a.yaml", "model: {name: TrafficLSTM}\n"), write("b.yaml", "model: 3\n")
    (problem,) = problems(*files)
    assert problem.code == "layer-clash"
    assert "a.yaml" in problem.message
    assert problem.file.endswith("b.yaml")


def test_l6_training_layer_is_optional(layers):
    assert resolve(layers, "models/lstm_base", "data/single").training.epochs == 50


@pytest.mark.parametrize("data", ["single", "multi_vd_3", "multi_vd_5"])
def test_l7_one_model_file_serves_every_mode(layers, data):
    assert resolve(layers, "models/lstm_base", f"data/{data}").model.lstm.hidden_size == 64


def test_l8_merged_mapping_and_list_of_files_agree(layers):
    names = ["models/lstm_base.yaml", "data/multi_vd_3.yaml", "training/fast_dev.yaml"]
    merged = {}
    for name in names:
        document = yaml.safe_load((layers / name).read_text())
        document.pop("layer")
        for key, value in document.items():
            merged[key] = {**merged[key], **value} if isinstance(merged.get(key), dict) else value
    merged["training"]["learning_rate"] = float(merged["training"]["learning_rate"])
    from_files = sat_config.load(layers / names[0], layers=[layers / name for name in names[1:]])
    assert sat_config.decode(merged) == from_files


def test_l9_override_is_typed_by_its_field(layers):
    model = layers / "models/lstm_base.yaml"
    (problem,) = problems(model, words=["training.epochs=ten"])
    assert problem.path == ("training", "epochs")
    (problem,) = problems(model, words=["training.epoch=10"])
    assert problem.suggestion == "training.epochs"


# ----------------------------------------------------------------------------------------- includes


def test_i1_includes_start_from_the_including_file(layers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sat_config.load(layers / "experiments/smoke.yaml").name == "forecast_smoke"


def test_i2_includes_apply_in_order_below_the_file(write):
    write("a.yaml", "model: {name: TrafficLSTM}\nseed: 1\nbatch_size: 1\n")
    write("b.yaml", "seed: 2\nbatch_size: 2\n")
    top = write("top.yaml", "includes: [a.yaml, b.yaml]\nbatch_size: 3\n")
    config = sat_config.load(top)
    assert (config.seed, config.batch_size) == (2, 3)
    assert "includes" not in sat_config.plain(config)


def test_i3_nested_includes(write):
    write("x/a.yaml", "model: {name: TrafficLSTM}\n")
    write("x/b.yaml", "includes: [a.yaml]\n")
    write("c.yaml", "includes: [x/b.yaml]\n")
    assert sat_config.load(write("top.yaml", "includes: [c.yaml]\n")).model.name == "TrafficLSTM"


def test_i4_missing_file_names_it_and_its_includer(write):
    (problem,) = problems(write("top.yaml", "includes:\n  - nowhere.yaml\n"))
    assert "nowhere.yaml" in problem.message
    assert (problem.file.endswith("top.yaml"), problem.line) == (True, 2)


def test_i5_cycle_shows_the_chain_and_a_diamond_applies_twice(write):
    write("a.yaml", "includes: [b.yaml]\n")
    (problem,) = problems(write("b.yaml", "includes: [a.yaml]\n"))
    assert "b.yaml -> a.yaml -> b.yaml" in problem.message
    write("base.yaml", "model: {name: TrafficLSTM}\nseed: 1\n")
    write("left.yaml", "includes: [base.yaml]\nseed: 2\n")
    write("right.yaml", "includes: [base.yaml]\n")
    assert sat_config.load(write("top.yaml", "includes: [left.yaml, right.yaml]\n")).seed == 1


# -------------------------------------------------------------------------------------- experiments


def test_e1_experiment_equals_its_layers_given_by_hand(layers):
    by_hand = resolve(
        layers,
        "models/lstm_base",
        "data/single",
        "training/fast_dev",
        words=[
            "name=forecast_smoke",
            "accelerator=cpu",
            "experiment.name=Smoke test",
            "experiment.description=A small LSTM on one detector of the made-up ring road.",
            'experiment.tags=["lstm", "single", "smoke"]',
            "model.lstm.hidden_size=16",
            "model.lstm.num_layers=1",
            "model.lstm.dropout=0.0",
            "training.epochs=8",
        ],
    )
    assert sat_config.load(layers / "experiments/smoke.yaml") == by_hand


def test_e2_experiment_is_described(layers):
    info = sat_config.load(layers / "experiments/smoke.yaml").experiment
    assert (info.name, info.tags) == ("Smoke test", ("lstm", "single", "smoke"))


def test_e3_experiment_may_override_anything(write, layers):
    text = "includes: [{}]\ntraining: {{epochs: 3}}\nbatch_size: 7\ncheckpoint_every: 5\n"
    top = write("top.yaml", text.format(layers / "experiments/smoke.yaml"))
    config = sat_config.load(top)
    assert (config.training.epochs, config.batch_size, config.checkpoint_every) == (3, 7, 5)


def test_e4_e5_every_shipped_experiment_resolves(layers):
    assert {path.name for path in layers.iterdir()} == {"models", "data", "training", "experiments"}
    for path in (layers / "experiments").iterdir():
        assert sat_config.check(path).problems == ()


# ------------------------------------------------------------------------------ traces and guards


def test_t3_each_value_names_the_file_that_set_it(layers):
    origins = sat_config.check(layers / "experiments/smoke.yaml", ["seed=9"]).origins
    assert origins["model.lstm.hidden_size"].endswith("experiments/smoke.yaml:14")
    assert origins["data.num_vds"].endswith("data/single.yaml:7")
    assert "seed=9" in origins["seed"]
    assert "3 x 1 = 3" in origins["model.lstm.input_size"]


def test_g1_data_layer_may_not_touch_the_architecture(layers, write):
    bad = write("bad.yaml", "layer: data\nmodel:\n  lstm:\n    hidden_size: 32\n")
    (problem,) = problems(layers / "models/lstm_base.yaml", bad)
    assert (problem.code, problem.line) == ("guarded-key", 4)
    assert problem.file.endswith("bad.yaml")
    assert "lstm_base.yaml" in problem.message


def test_g2_command_line_and_experiment_may(layers, write):
    top = write(
        "top.yaml",
        f"includes: [{layers}/experiments/smoke.yaml]\nmodel: {{lstm: {{hidden_size: 32}}}}\n",
    )
    assert sat_config.load(top).model.lstm.hidden_size == 32
    assert sat_config.load(top, ["model.lstm.hidden_size=64"]).model.lstm.hidden_size == 64


def test_g3_layers_that_disagree_on_a_derived_value(layers, write):
    horizon = write("horizon.yaml", "layer: model\nmodel: {lstm: {prediction_length: 1}}\n")
    found = problems(layers / "models/lstm_base.yaml", horizon, layers / "data/multi_vd_3.yaml")
    (problem,) = found
    assert problem.code == "derived-value"
    assert "model.lstm.prediction_length is 1, but data.prediction_length is 3" in problem.message


# ------------------------------------------------------------------------------------ detectors


def test_m1_single_means_one_detector(layers):
    data = resolve(layers, "models/lstm_base", "data/single").data
    assert (data.multi_vd_mode, data.num_vds) == (False, 1)


@pytest.mark.parametrize("section", MODELS)
def test_m2_m4_sizes_are_features_times_detectors(layers, section):
    config = resolve(layers, f"models/{section}_base", "data/multi_vd_5")
    network = getattr(config.model, section)
    assert (network.input_size, network.output_size) == (15, 15)


@pytest.mark.parametrize("stated", [15, 14, 75])
def test_m3_product_is_derived_once(layers, write, stated):
    size = write("size.yaml", f"layer: data\nmodel: {{lstm: {{input_size: {stated}}}}}\n")
    found = problems(layers / "models/lstm_base.yaml", layers / "data/multi_vd_5.yaml", size)
    assert [problem.code for problem in found] == ([] if stated == 15 else ["derived-value"])
    assert all("3 x 5 = 15" in problem.message for problem in found)


@pytest.mark.parametrize("words", [["data.num_vds=3"], ["data.multi_vd_mode=true"]])
def test_m5_mode_and_number_agree(layers, words):
    (problem,) = problems(layers / "models/lstm_base.yaml", words=words)
    assert problem.code == "FC-E001"


def test_m6_sections_of_several_models(layers, write):
    both = write(
        "both.yaml", "layer: data\nmodel: {lstm: {input_size: 3}, xlstm: {input_size: 3}}\n"
    )
    report = sat_config.check(layers / "models/lstm_base.yaml", layers=[both])
    assert report.config.model.lstm.input_size == 3
    assert [(p.code, p.severity) for p in report.problems] == [("other-model", "warning")]
    odd = write("odd.yaml", "model: {gru: {input_size: 3}}\n")
    assert [p.code for p in problems(layers / "models/lstm_base.yaml", odd)] == ["unknown-key"]


# -------------------------------------------------------------------------- one family or the other


def test_document_belongs_to_one_family(write):
    (problem,) = problems(write("a.yaml", "model: {name: TrafficLSTM}\nmodel_type: autoencoder\n"))
    assert problem.code == "two-root-tags"
    assert "model_type" in problem.message
    assert "model.name" in problem.message
    (problem,) = problems(write("b.yaml", "seed: 1\n"))
    assert "TrafficLSTM" in problem.allowed
    assert "autoencoder" in problem.allowed


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("format", ["toml", "json", "yaml"])
def test_resolved_document_loads_to_the_same(layers, write, model, format):
    config = resolve(layers, f"models/{model}_base", "data/multi_vd_3", "training/default")
    path = write(f"resolved.{format}", sat_config.dumps(config, format))
    assert sat_config.load(path) == config


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("FC-E002", ["data.split.val=0.3"]),
        ("FC-E003", ["data.source=file"]),
        ("FC-E004", ['data.selected_vdids=["a", "b"]']),
        ("FC-E005", ["model.xlstm.slstm_at=[6]"]),
        ("FC-E005", ["model.xlstm.slstm_at=[1, 1]"]),
        ("FC-E006", ["data.sequence_length=65"]),
        ("FC-E007", ["model.xlstm.hidden_size=64"]),
    ],
)
def test_rules_of_the_xlstm_and_the_data(layers, code, words):
    found = problems(layers / "models/xlstm_base.yaml", words=words)
    assert {problem.code for problem in found} == {code}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("FC-E008", ["model.transformer.num_heads=5"]),
        ("FC-E009", ["model.transformer.max_length=8"]),
    ],
)
def test_rules_of_the_transformer(layers, code, words):
    found = problems(layers / "models/transformer_base.yaml", words=words)
    assert {problem.code for problem in found} == {code}


def test_every_rule_has_a_test():
    tested = {f"FC-E{number:03}" for number in range(1, 10)}
    assert {code for code in rules.RULES if code.startswith("FC-")} == tested


def test_json_schema_has_the_family():
    from sat_config.jsonschema import json_schema

    text = json.dumps(json_schema())
    assert all(name in text for name in MODELS.values())
