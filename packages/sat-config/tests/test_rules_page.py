"""The page of rules is current and complete; and what is no rule here does no harm."""

import copy
import importlib.util
import json
import pathlib
import re
import tomllib

import pytest

import sat_config
from sat_config import convert, loading, rules
from sat_config.audio.encoder import EncoderNode
from sat_config.audio.training import AutoencoderTraining

REPOSITORY = pathlib.Path(__file__).parents[3]
DATA = tomllib.loads((REPOSITORY / "tools" / "rules.toml").read_text())


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location(
        "rules_page", REPOSITORY / "tools" / "rules_page.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_current(tool):
    assert tool.PAGE.read_text(encoding="utf-8") == tool.page(), "run tools/rules_page.py"


def test_page_accounts_for_every_rule_of_sat(tool):
    rows = re.findall(
        r"^\| (\d+) \|.* \| ([a-z ]+) \| (?:(\S+) )?\| `(.+)` \|$", tool.page(), re.MULTILINE
    )
    assert {int(number) for number, *_ in rows} == set(range(1, tool.COUNT + 1))
    for number, status, code, _ in rows:
        if status in ("kept", "softened"):
            assert code in rules.RULES
            assert int(code[-3:]) == int(number)
        else:
            assert code == ""
            assert status in ("by type", "gone")


def test_every_rule_is_on_the_page_and_shown_by_a_test(tool):
    shown = dict(tool.tests_by_code())
    assert set(rules.RULES) <= set(shown)
    entries = [entry for table in ("gone", "types") for entry in DATA[table].values()]
    named = {test for entry in entries for test in entry["tests"]}
    here, packages = pathlib.Path(__file__).parent, REPOSITORY / "packages"
    for place in {*named, *(text.strip("`") for text in shown.values())}:
        file, _, function = place.partition("::")
        path = (packages if "/" in file else here) / file
        assert f"\ndef {function}(" in path.read_text(encoding="utf-8"), place


def test_number_is_either_a_rule_or_explained(tool):
    numbers = {tool.number_of(rule) for rule in rules.RULES.values()}
    explained = {int(number) for table in ("gone", "types") for number in DATA[table]}
    assert not numbers & explained
    assert {int(number) for number in DATA["notes"]} <= numbers


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("sample_rate=44000", "SAT-W301"),
        ("audio_channels=9", "SAT-W302"),
        ('precision="16-mixed"', "SAT-W304"),
    ],
)
def test_what_is_unusual_is_a_warning(quickstart, word, code):
    found = loading.check(quickstart, [word, "accelerator=cpu"]).problems
    assert [p.severity for p in found if p.code == code] == ["warning"]


# ------------------------------------------------------------------------ what is no rule here

GROUP = {"optimizer": {"type": "AdamW", "config": {"lr": 1e-4}}}
CURVE = {"type": "InverseLR", "config": {"inv_gamma": 1000}}
CRITIC = {
    "type": "encodec",
    "config": {"filters": 8, "n_ffts": [64], "hop_lengths": [16], "win_lengths": [64]},
    "weights": {"adversarial": 0.1, "feature_matching": 5.0},
}
SPECTRUM = {"fft_sizes": [64], "hop_sizes": [16], "win_lengths": [64]}
LOSSES = {
    "discriminator": CRITIC,
    "spectral": {"type": "mrstft", "weights": {"mrstft": 1.0}, "config": SPECTRUM},
    "time": {"type": "l1", "weights": {"l1": 0.0}},
    "bottleneck": {"type": "kl", "weights": {"kl": 1e-6}},
}


def adversarial(scheduler=None):
    first = {**GROUP, "scheduler": CURVE} if scheduler is None else GROUP
    return {
        "optimizer_configs": {"autoencoder": first, "discriminator": GROUP},
        "loss_configs": LOSSES,
    }


def test_losses_without_a_part_name_it():
    for part in ("spectral", "time"):
        losses = {key: value for key, value in LOSSES.items() if key != part}
        with pytest.raises(sat_config.ConfigError, match=f"lacks the key '{part}'"):
            sat_config.decode({"learning_rate": 1e-4, "loss_configs": losses}, AutoencoderTraining)
    for weight in ("adversarial", "feature_matching"):
        weights = {key: value for key, value in CRITIC["weights"].items() if key != weight}
        losses = {**LOSSES, "discriminator": {**CRITIC, "weights": weights}}
        with pytest.raises(sat_config.ConfigError, match=f"lacks the key '{weight}'"):
            sat_config.decode({"learning_rate": 1e-4, "loss_configs": losses}, AutoencoderTraining)


def test_one_of_two_optimizers_may_have_a_scheduler():
    config = convert.convert(adversarial(), AutoencoderTraining)
    assert config.optimizers.autoencoder.scheduler is not None
    assert config.optimizers.discriminator.scheduler is None
    assert list(rules.broken(config)) == []


def test_adversarial_training_may_clip_and_accumulate(quickstart):
    words = [f"training={toml_of(adversarial())}", "gradient_clip_val=1.0", "accum_batches=2"]
    found = loading.check(quickstart, [*words, "-val_dataset"])
    assert found.errors == ()
    assert (found.config.gradient_clip_val, found.config.accum_batches) == (1.0, 2)


def toml_of(value):
    """A value in TOML, on one line."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {toml_of(item)}' for key, item in value.items())} }}"
    return json.dumps(value)


def test_pretransform_has_no_sample_rate_of_its_own():
    path = REPOSITORY / "configs" / "experiments" / "quickstart_latents.toml"
    assert loading.check(str(path)).errors == ()
    (problem,) = loading.check(str(path), ["model.pretransform.config.sample_rate=48000"]).errors
    assert "sample_rate" in problem.message


def test_decoding_twice_gives_the_same_and_writes_nothing():
    table = {"type": "seanet", "config": {"ratios": [2, 4, 5], "dimension": 8}}
    before = copy.deepcopy(table)
    first, second = (sat_config.decode(table, EncoderNode) for _ in range(2))
    assert first == second
    assert first.config.ratios == (2, 4, 5)
    assert table == before
    with pytest.raises(AttributeError, match="immutable"):
        first.config.ratios = (5, 4, 2)


def test_no_loader_process_is_fine(quickstart):
    assert sat_config.load(quickstart, ["num_workers=0"]).num_workers == 0


def test_volume_norm_asks_for_no_length(quickstart):
    data = '{ dataset_type = "wds", datasets = [{ id = "a", path = "/a" }], volume_norm = true }'
    words = [f"dataset={data}", "sample_size=256", "-val_dataset"]
    assert loading.check(quickstart, words).errors == ()
