"""What becomes of `defaults.ini`, of flags and of documents."""

import json
import textwrap
import tomllib

import pytest

import sat_config
from sat_config import migrate, shipped
from sat_config.errors import UserError
from sat_config.migrate import tomltext


@pytest.fixture
def model(sat_files):
    return json.loads((sat_files / "m.json").read_text())


@pytest.fixture
def dataset(sat_files):
    return json.loads((sat_files / "d.json").read_text())


MIGRATED = """\
# name of the run
# migrated: stable-audio-tools takes the name from the command line only; here it names the folder
# of the runs
name = "my_run"

# two spaces in here
#   are kept
batch_size = 8 # a lot
precision = "16-mixed"
save_dir = "out"

model_config = "m.json"
dataset_config = "d.json"
# ckpt_path = ''
"""


def of_ini(write, text, **options):
    write("x.ini", textwrap.dedent(text) + "model_config = m.json\n")
    return migrate.migrate("x.ini", **options)


def loaded(found, write, name="experiment.toml"):
    report = sat_config.check(write(name, found.text))
    assert report.errors == ()
    return report.config


def codes(found):
    return [(problem.code, problem.path[0] if problem.path else "") for problem in found.problems]


# ------------------------------------------------------------------------------- defaults.ini


def test_comments_and_order_are_kept(sat_files):
    found = migrate.migrate("defaults.ini")
    body = found.text.partition("\n\n")[2]
    assert body == MIGRATED


@pytest.mark.parametrize("written_out", [False, True])
def test_result_loads_to_what_the_sources_load_to(sat_files, write, written_out):
    found = migrate.migrate("defaults.ini", ["seed=3"], written_out=written_out)
    assert loaded(found, write) == sat_config.load("defaults.ini", ["seed=3"])


def test_first_line_leads_editors_to_the_schema(sat_files):
    first = migrate.migrate("defaults.ini").text.splitlines()[0]
    assert first == f"#:schema {shipped.FOLDER}/schemas/layer.schema.json"


def test_schema_within_the_folder_is_named_relatively(monkeypatch, tmp_path):
    monkeypatch.setattr(shipped, "FOLDER", str(tmp_path / "venv" / "presets"))
    line = shipped.schema_line(str(tmp_path))
    assert line == "#:schema venv/presets/schemas/layer.schema.json"


@pytest.mark.parametrize("header", ["", "[DEFAULT]\n", "[one]\nseed = 3\n[two]\n"])
def test_headers_of_sections_do_not_matter(sat_files, write, header):
    found = of_ini(write, f"{header}batch_size = 7\n")
    assert loaded(found, write).batch_size == 7
    assert "[one]" not in found.text


def test_ini_with_strange_line_is_refused(sat_files, write):
    with pytest.raises(sat_config.ConfigError, match="not of the form key = value"):
        of_ini(write, "this is nothing\n")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("lr = 1e-4", "training.learning_rate says it"),
        ("sample_rate = 48000", "the model document says it"),
        ("batchsize = 3", "no key of an experiment is called so; was batch_size meant?"),
        ("monitor_activations = False", "no key of an experiment is called so"),
        ("num_nodes = 0", "there is always one machine"),
    ],
)
def test_key_of_another_time_is_dropped_and_reported(sat_files, write, line, said):
    found = of_ini(write, f"{line}\n")
    key = line.partition(" ")[0]
    (problem,) = found.problems
    assert (problem.code, problem.path, problem.line) == ("dropped-key", (key,), 1)
    assert problem.message == f"{key} is dropped: {said}"
    assert f"# migrated: {said}\n# {line}\n" in found.text
    assert loaded(found, write).sample_rate == 44100


@pytest.mark.parametrize(
    ("line", "path", "value"),
    [
        ("name = a", "name", "a"),
        ("name = two words!", "name", "two-words"),
        ("project = p", "project", "p"),
        ("recover = true", "recover", True),
        ("save_top_k = 2", "save_top_k", 2),
        ("num_gpus = 2", "devices", 2),
    ],
)
def test_key_that_sat_ignores_is_named_with_its_new_effect(sat_files, write, line, path, value):
    found = of_ini(write, f"{line}\n")
    key = line.partition(" ")[0]
    assert codes(found) == [("new-effect", key)]
    assert "stable-audio-tools" in found.problems[0].message
    assert getattr(loaded(found, write), path) == value
    assert "# migrated: stable-audio-tools" in found.text


@pytest.mark.parametrize("line", ["recover = false", "save_top_k = -1", "project = None"])
def test_key_at_its_default_has_no_new_effect(sat_files, write, line):
    assert of_ini(write, f"{line}\n").problems == ()


def test_empty_value_with_another_meaning_is_reported(sat_files, write):
    found = of_ini(write, "save_dir = ''\nckpt_path = ''\n")
    (problem,) = found.problems
    assert (problem.code, problem.line) == ("other-default", 1)
    assert "the working directory in stable-audio-tools" in problem.message
    assert 'save_dir = "runs"' in problem.message


def test_no_limit_of_steps_is_no_key(sat_files, write):
    found = of_ini(write, "max_steps = -1\n")
    assert found.problems == ()
    assert loaded(found, write).max_steps is None


def test_unknown_logger_becomes_the_local_one(sat_files, write):
    found = of_ini(write, "logger = tensorboard\n")
    assert codes(found) == [("new-value", "logger")]
    assert loaded(found, write).logger == "local"


def test_key_moves_to_its_table(sat_files, write):
    found = of_ini(write, "compile = True\n")
    assert loaded(found, write).runtime.compile is True


def test_bad_value_is_shown_in_the_ini(sat_files, write):
    with pytest.raises(sat_config.ConfigError, match=r"x\.ini:2:14.*batch_size is .many"):
        of_ini(write, "# first\nbatch_size = many\n")


def test_control_characters_of_comments_do_not_break_toml(sat_files, write):
    found = of_ini(write, "# a\tb\x07c\n")
    assert "# a\tb c\n" in found.text


# --------------------------------------------------------------------------------------- paths


def test_paths_start_from_the_new_file(sat_files, write):
    (sat_files / "run.ckpt").touch()
    write("x.ini", "ckpt_path = run.ckpt\npretrained_ckpt_path = later.ckpt\nmodel_config = m.json")
    write("sub/y", "")
    found = migrate.migrate("x.ini", ["dataset_config=d.json"], output="sub/new.toml")
    table = tomllib.loads(found.text)
    assert table["model_config"] == "../m.json"
    assert table["dataset_config"] == "../d.json"
    assert table["ckpt_path"] == "../run.ckpt"
    assert table["pretrained_ckpt_path"] == "later.ckpt"
    experiment = loaded(found, write, "sub/new.toml")
    assert experiment.ckpt_path == str(sat_files / "run.ckpt")
    assert experiment.pretrained_ckpt_path == str(sat_files / "later.ckpt")


def test_document_below_the_working_directory_is_found_as_sat_finds_it(sat_files, write):
    write("configs/x.ini", "model_config = m.json\n")
    found = migrate.migrate("configs/x.ini", output="configs/x.toml")
    assert tomllib.loads(found.text)["model_config"] == "../m.json"


def test_missing_document_is_refused_where_it_is_named(sat_files, write):
    write("x.ini", "seed = 1\nmodel_config = gone.json\n")
    with pytest.raises(sat_config.ConfigError, match=r"x\.ini:2:16.*gone\.json: there is no such"):
        migrate.migrate("x.ini")


def test_missing_ini_is_refused(sat_files):
    with pytest.raises(sat_config.ConfigError, match="there is no such file"):
        migrate.migrate("gone.ini")


def test_written_out_paths_are_absolute_only_where_they_were(sat_files, write, dataset):
    data = [{"id": "a", "path": "audio"}, {"id": "b", "path": "/b/music"}]
    write("sub/d.json", {**dataset, "datasets": data})
    words = ["model_config=m.json", "dataset_config=sub/d.json"]
    found = migrate.migrate(None, words, written_out=True)
    paths = [entry["path"] for entry in tomllib.loads(found.text)["dataset"]["datasets"]]
    assert paths == ["sub/audio", "/b/music"]


def test_checkpoint_that_is_nowhere_yet_stays_as_it_is(sat_files, write, model):
    training = {"learning_rate": 1e-4, "teacher_model": model, "teacher_model_ckpt": "later.ckpt"}
    write("sub/m.json", {**model, "training": training})
    found = migrate.migrate(None, ["model_config=sub/m.json"], written_out=True)
    assert tomllib.loads(found.text)["training"]["teacher_model_ckpt"] == "later.ckpt"


# ------------------------------------------------------------------------------------- flags


def test_flag_replaces_the_line_of_the_ini(sat_files):
    found = migrate.migrate("defaults.ini", ["batch_size=2", "accelerator=cpu"])
    assert (
        "batch_size = 2 # on the command line; the file has batch_size = 8  # a lot\n" in found.text
    )
    assert found.text.endswith('accelerator = "cpu"\n')


def test_name_of_the_command_line_is_no_new_effect(sat_files, write):
    found = migrate.migrate(None, ["model_config=m.json", "name=x"])
    assert found.problems == ()
    assert loaded(found, write).name == "x"


def test_bad_flag_is_refused(sat_files):
    with pytest.raises(sat_config.ConfigError, match="batch_size is 0"):
        migrate.migrate("defaults.ini", ["batch_size=0"])


# --------------------------------------------------------------------------------- documents


def test_broken_rule_is_accepted_with_the_arithmetic(sat_files, write, model):
    write("m.json", {**model, "model": {**model["model"], "latent_dim": 24}})
    found = migrate.migrate("defaults.ini")
    (problem,) = [p for p in found.problems if p.code == "SAT-E003"]
    assert problem.severity == "warning"
    assert tomllib.loads(found.text)["checks"] == {"allow": ["SAT-E003"]}
    comment = found.text.partition("[checks]\n")[2].replace("\n# ", " ")
    assert "SAT-E003: latent_dim is 24, but the latents have 64 channels" in comment
    assert "(try 64)" in comment
    assert loaded(found, write).model.latent_dim == 24


@pytest.mark.parametrize("written_out", [False, True])
def test_unknown_key_of_a_document_is_accepted_by_its_path(sat_files, write, written_out, model):
    write("m.json", {**model, "lora": {"rank": 4}})
    found = migrate.migrate("defaults.ini", written_out=written_out)
    assert ("unknown-key", "lora") in codes(found)
    assert tomllib.loads(found.text)["checks"]["allow_unknown"] == ["lora"]
    assert loaded(found, write).ignored == {"lora": {"rank": 4}}


def test_what_a_document_accepts_already_stays_accepted(sat_files, write, model):
    bad = {**model["model"], "latent_dim": 24, "downsampling_ratio": 100}
    write("m.json", {**model, "model": bad, "checks": {"allow": ["SAT-E003"]}})
    found = migrate.migrate("defaults.ini")
    assert tomllib.loads(found.text)["checks"]["allow"][0] == "SAT-E003"
    loaded(found, write)


def test_mistake_that_cannot_be_accepted_is_refused(sat_files, write, model):
    write("m.json", {**model, "sample_rate": "high", "lora": 1})
    with pytest.raises(sat_config.ConfigError) as caught:
        migrate.migrate("defaults.ini")
    (problem,) = caught.value.problems
    assert (problem.file, problem.path) == ("m.json", ("sample_rate",))


def test_null_in_a_list_cannot_be_written_out(sat_files, write):
    cond = {"demo_cond": [{"list": [1, None]}], "num_demos": 1, "demo_cfg_scales": [1]}
    model = json.loads(json.dumps(uncond()))
    model["model_type"], model["training"]["demo"] = "lm", cond
    write("m.json", lm(cond))
    words = ["model_config=m.json"]
    assert migrate.migrate(None, words).text
    with pytest.raises(UserError, match="TOML cannot write; leave out --inline"):
        migrate.migrate(None, words, written_out=True)


def lm(demo):
    """A language model on codes of a codec."""
    codec = {
        "encoder": {"type": "oobleck", "config": {"latent_dim": 64}},
        "decoder": {"type": "oobleck", "config": {"latent_dim": 64}},
        "bottleneck": {
            "type": "dac_rvq",
            "config": {"input_dim": 64, "n_codebooks": 2, "codebook_size": 64, "codebook_dim": 8},
        },
        "latent_dim": 64,
        "downsampling_ratio": 512,
        "io_channels": 2,
    }
    return {
        "model_type": "lm",
        "sample_rate": 44100,
        "sample_size": 65536,
        "model": {
            "pretransform": {"type": "autoencoder", "config": codec},
            "lm": {
                "type": "continuous_transformer",
                "config": {"dim": 64, "depth": 1, "num_heads": 2, "embed_dim": 64},
            },
        },
        "training": {"learning_rate": 1e-4, "demo": demo},
    }


def uncond():
    """An unconditional diffusion model on audio."""
    return {
        "model_type": "diffusion_uncond",
        "sample_rate": 44100,
        "sample_size": 65536,
        "audio_channels": 2,
        "model": {"type": "dit", "config": {"in_channels": 2, "embed_dim": 64, "num_heads": 2}},
        "training": {"learning_rate": 1e-4, "demo": {"demo_every": 100, "num_demos": 3}},
    }


def effects(write, model, dataset=None):
    words = [f"model_config={write('effects.json', model)}"]
    if dataset:
        words.append(f"dataset_config={write('data.json', dataset)}")
    found = migrate.migrate(None, words)
    return [problem for problem in found.problems if problem.code == "new-effect"]


def test_number_of_demos_begins_to_count(sat_files, write):
    (problem,) = effects(write, uncond())
    assert problem.path == ("training", "demo", "num_demos")
    assert (problem.file, problem.line) == ("effects.json", 1)
    assert "always writes 8 demos" in problem.message


def test_default_value_is_no_new_effect(sat_files, write):
    model = uncond()
    model["training"]["demo"]["num_demos"] = 8
    assert effects(write, model) == []


def test_keys_of_shards_and_autoencoders_begin_to_count(sat_files, write, model):
    training = {"learning_rate": 1e-4, "clip_grad_norm": 1.0, "warmup_mode": "full"}
    shards = {"dataset_type": "s3", "datasets": [{"id": "a", "path": "a"}], "drop_last": False}
    found = effects(write, {**model, "training": training}, shards)
    paths = {problem.path for problem in found}
    assert paths == {
        ("training", "clip_grad_norm"),
        ("training", "warmup_mode"),
        ("dataset", "drop_last"),
    }


def test_scheduler_of_one_of_two_optimizers_begins_to_count(sat_files, write, model):
    group = {"optimizer": {"type": "AdamW", "config": {"lr": 1e-4}}}
    curve = {"type": "InverseLR", "config": {"inv_gamma": 1000}}
    groups = {"autoencoder": {**group, "scheduler": curve}, "discriminator": group}
    (problem,) = effects(write, {**model, "training": {"optimizer_configs": groups}})
    assert problem.path == ("training", "optimizer_configs", "autoencoder", "scheduler")


# --------------------------------------------------------------------------------- pre_encode.py

LINE = "python pre_encode.py --model-config m.json --dataset-config d.json --output-path latents"


def encoding(more=""):
    return migrate.words_of_preencode(f"{LINE} --ckpt-path ae.ckpt {more}")


def test_pre_encode_line_is_an_experiment(sat_files, write):
    found = migrate.migrate(None, encode=encoding("--model-half --batch-size 3"))
    experiment = loaded(found, write)
    assert experiment.batch_size == 3
    settings = experiment.preencode
    assert (settings.output_path, settings.model_half) == ("latents", True)
    assert settings.checkpoint == str(sat_files / "ae.ckpt")
    assert settings.sample_size == 1320960
    assert found.problems == ()


def test_pre_encode_line_takes_its_own_defaults(sat_files, write):
    assert loaded(migrate.migrate(None, encode=encoding()), write).batch_size == 1


def test_flags_of_pre_encode_are_reported(sat_files):
    found = migrate.migrate(None, encode=encoding("--is-discrete --shuffle --limit-batches 3"))
    assert [problem.code for problem in found.problems] == [
        "dropped-key",
        "dropped-key",
        "new-effect",
    ]
    assert tomllib.loads(found.text)["preencode"] == {
        "checkpoint": "ae.ckpt",
        "output_path": "latents",
        "limit_batches": 3,
        "sample_size": 1320960,
    }


@pytest.mark.parametrize("written_out", [False, True])
def test_training_and_pre_encoding_share_a_file(sat_files, write, written_out):
    found = migrate.migrate(
        "defaults.ini", encode=encoding("--batch-size 3"), written_out=written_out
    )
    experiment = loaded(found, write)
    assert experiment.batch_size == 8
    assert experiment.preencode.output_path == "latents"
    (problem,) = [p for p in found.problems if p.code == "dropped-key"]
    assert "sat-preencode FILE --override batch_size=3" in problem.message


def test_training_and_pre_encoding_of_other_files_are_two_experiments(sat_files, write, dataset):
    write("other.json", dataset)
    with pytest.raises(UserError, match=r"d\.json, training reads other\.json.*two experiments"):
        migrate.migrate("defaults.ini", ["dataset_config=other.json"], encode=encoding())


def test_unknown_flag_of_pre_encode_is_wrong_usage(capsys):
    with pytest.raises(SystemExit) as stopped:
        encoding("--frobnicate")
    assert stopped.value.code == 2


# ------------------------------------------------------------------------------------ the text


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1, "b.c": {"d": [1, 2.5, True]}, "e": {"f": {"g": "x"}}},
        {"long": [f"item {number}" for number in range(30)]},
        {"tables": [{"id": "a", "config": {"x": [1], "y": {}}}, {"id": 'quo"te'}]},
        {"empty": {}, "list": [], "nested": [[1], [2]]},
        {"tiny": 1e-7, "big": 10**15, "text": "line\nline \\ \u00e9"},
    ],
)
def test_toml_reads_back(value):
    assert tomllib.loads("\n".join(tomltext.tables(value))) == value


def test_toml_is_short_where_it_can_be():
    text = "\n".join(tomltext.tables({"a": [1, 2], "b": {"c": [{"id": "x" * 60}] * 2}}))
    item = f'{{ id = "{"x" * 60}" }}'
    assert text == f"a = [1, 2]\n\n[b]\nc = [\n  {item},\n  {item},\n]"


def test_path_that_an_override_of_the_document_sets_starts_from_its_folder(
    sat_files, write, dataset
):
    write("sub/d.json", {"overrides": ["datasets[a].path=music"], **dataset})
    words = ["model_config=m.json", "dataset_config=sub/d.json"]
    found = migrate.migrate(None, words, written_out=True)
    assert tomllib.loads(found.text)["dataset"]["datasets"][0]["path"] == "sub/music"
