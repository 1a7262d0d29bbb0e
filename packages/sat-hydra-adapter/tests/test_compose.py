import subprocess
import sys

import hydra
import pytest

import sat_config
from sat_hydra_adapter import CompositionError, compose
from sat_hydra_adapter.words import GROUPS

TOY = """
model_type: diffusion_uncond
sample_rate: 44100
sample_size: 65536
model: { type: dit, config: { in_channels: 2, embed_dim: 64, depth: 1, num_heads: 1 } }
"""


def problems_of(folder, words=()):
    with pytest.raises(sat_config.ConfigError) as caught:
        compose(folder, words)
    return {problem.path: problem for problem in caught.value.problems}


def test_words_of_the_command_line_override(at_root):
    composed = compose(
        GROUPS, ["experiment=quickstart", "batch_size=3", "training.learning_rate=1e-4"]
    )
    assert (composed.batch_size, composed.training.learning_rate) == (3, 1e-4)


def test_word_may_set_a_key_that_no_group_has(write):
    folder = write("config.yaml", TOY)
    assert (
        compose(folder, ["batch_size=3", "model.config.patch_size=2"]).model.config.patch_size == 2
    )


def test_element_of_a_list_is_named_by_its_index(at_root):
    composed = compose(GROUPS, ["experiment=quickstart", "dataset.datasets.0.path=/music"])
    assert composed.dataset.datasets[0].path == "/music"


def test_users_folder_adds_to_the_shipped_groups_and_wins(write):
    write(
        "config.yaml",
        "defaults: [{model: small_vae}, {dataset: mine}, {override training: quick}]\n",
    )
    write("dataset/mine.yaml", "dataset_type: audio_dir\ndatasets: [{id: a, path: music}]\n")
    folder = write("training/quick.yaml", "learning_rate: 3e-5\n")
    composed = compose(folder)
    assert composed.training.learning_rate == 3e-5
    assert composed.dataset.datasets[0].path == str(folder / "music")


@pytest.mark.filterwarnings("ignore::sat_config.ConfigWarning")
def test_composed_data_may_name_layers(write):
    folder = write("config.yaml", "include: ['sat:stable_audio_2_0_vae']\nname: mine\n")
    composed = compose(folder)
    assert composed.name == "mine"
    assert composed.model == sat_config.load_model("sat:stable_audio_2_0_vae").model


def test_interpolations_are_resolved_and_helpers_left_out(write):
    folder = write("config.yaml", f"{TOY}_size: 4\nbatch_size: ${{_size}}\n")
    assert compose(folder).batch_size == 4
    assert compose(folder, ["_size=6"]).batch_size == 6


def test_helper_to_which_nothing_refers_is_refused_with_the_nearest_one(write):
    folder = write("config.yaml", f"{TOY}_size: 4\nbatch_size: ${{_size}}\n")
    problem = problems_of(folder, ["_szie=6"])[()]
    assert (problem.code, problem.file) == ("unknown-key", "'_szie=6'")
    assert (problem.allowed, problem.suggestion) == ("_size", "_size")


def test_helper_of_the_command_line_may_serve_another_word(write):
    folder = write("config.yaml", TOY)
    assert compose(folder, ["_letter=k", "name=run_${_letter}"]).name == "run_k"


def test_word_that_sets_a_part_of_a_list_is_named(at_root):
    words = ["dataset.datasets.0.path=3", "dataset.datasets.0.pth=x"]
    found = problems_of(GROUPS, ["experiment=quickstart", *words])
    files = {path[-1]: problem.file for path, problem in found.items()}
    assert files == {"path": "'dataset.datasets.0.path=3'", "pth": "'dataset.datasets.0.pth=x'"}


def test_rest_of_such_an_element_keeps_its_file(write):
    write("config.yaml", f"{TOY}defaults: [{{dataset: mine}}, _self_]\n")
    folder = write("dataset/mine.yaml", "dataset_type: audio_dir\ndatasets: [{id: [], path: a}]\n")
    problem = problems_of(folder, ["dataset.datasets.0.path=b"])["dataset", "datasets", 0, "id"]
    assert (problem.file, problem.line) == ("dataset/mine.yaml", 2)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("dataset.datasets.7.path=x", "list index out of range"),
        ("name='a b", "name='a b"),
    ],
)
def test_word_that_hydra_cannot_take_is_shown_as_it_was_typed(at_root, word, told):
    with pytest.raises(sat_config.UserError) as caught:
        compose(GROUPS, ["experiment=quickstart", word])
    assert told in str(caught.value)
    assert "+" not in str(caught.value)


def test_index_in_brackets_is_taken_or_answered_with_the_form_that_is(at_root):
    words = ["experiment=quickstart", "dataset.datasets[0].path=/music"]
    if hydra.__version__.startswith("1.3"):
        with pytest.raises(sat_config.UserError, match=r"try: dataset\.datasets\.0\.path="):
            compose(GROUPS, words)
    else:
        assert compose(GROUPS, words).dataset.datasets[0].path == "/music"


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_unknown_key_is_refused_with_the_nearest_one(at_root, sign):
    with pytest.raises(sat_config.UserError, match="batch_sise") as caught:
        compose(GROUPS, ["experiment=quickstart", f"{sign}batch_sise=3"])
    assert "try: batch_size" in str(caught.value)
    assert "+batch" not in str(caught.value)


def test_unknown_key_below_the_root_names_the_word(at_root):
    found = problems_of(GROUPS, ["experiment=quickstart", "model.latent_dims=8"])
    problem = found["model", "latent_dims"]
    assert (problem.file, problem.suggestion) == ("'model.latent_dims=8'", "latent_dim")


def test_bad_value_names_the_file_and_line_of_its_group(write):
    write("config.yaml", "defaults: [{model: toy}, {training: bad}]\n")
    write("model/toy.yaml", f"# @package _global_\n{TOY}")
    folder = write("training/bad.yaml", "demo:\n  demo_every: often\n")
    problem = problems_of(folder)["training", "demo", "demo_every"]
    assert (problem.file, problem.line, problem.column) == ("training/bad.yaml", 2, 15)
    assert problem.source_line == "  demo_every: often"


def test_the_last_file_that_sets_a_value_is_named(write):
    write("config.yaml", "defaults: [{model: toy}, _self_]\nsample_rate: fast\n")
    folder = write("model/toy.yaml", f"# @package _global_\n{TOY}")
    assert problems_of(folder)["sample_rate",].file == "config.yaml"


def test_missing_value_names_key_file_and_line(write):
    folder = write("config.yaml", f"{TOY}name: ???\nbatch_size: ???\n")
    found = problems_of(folder)
    assert {path: (p.code, p.file, p.line) for path, p in found.items()} == {
        ("name",): ("missing-value", "config.yaml", 6),
        ("batch_size",): ("missing-value", "config.yaml", 7),
    }
    assert found["name",].suggestion == "name=VALUE"


def test_interpolation_that_leads_nowhere_names_its_place(write):
    folder = write("config.yaml", f"{TOY}batch_size: ${{nowhere}}\n")
    problem = problems_of(folder)["batch_size",]
    assert (problem.code, problem.line) == ("bad-interpolation", 6)
    assert "nowhere" in problem.message


def test_value_that_waits_for_another_is_told_once(at_root):
    assert set(problems_of(GROUPS, ["model=small_vae", "dataset=s3_wds"])) == {("_s3_path",)}


def test_missing_choice_names_the_group(at_root):
    with pytest.raises(CompositionError, match=r"(?s)model.*small_vae"):
        compose(GROUPS, ["dataset=examples"])


def test_unknown_group_file_names_those_that_there_are(at_root):
    with pytest.raises(CompositionError, match=r"(?s)no_such_model.*small_vae"):
        compose(GROUPS, ["model=no_such_model"])


def test_broken_rule_refuses_what_shall_run(at_root):
    assert "SAT-E003" in {
        problem.code
        for problem in problems_of(GROUPS, ["experiment=quickstart", "model.latent_dim=8"]).values()
    }


def test_adapter_imports_no_other_package_of_ours_and_no_torch():
    script = (
        "import sys, sat_hydra_adapter\n"
        "bad = {'torch', 'numpy', 'sat_models', 'sat_train', 'sat_preencode'} & set(sys.modules)\n"
        "sys.exit(f'imported {bad}' if bad else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
