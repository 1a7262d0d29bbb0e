"""Run folders and `latest` as documents."""

import pytest

import sat_config
from sat_config import document
from sat_config.document import DocumentError

CONFIG = 'toy_type = "plain"\nseed = 3\nsource = "/music/a.wav"'


@pytest.fixture
def run(toy, write):
    """A folder of runs as sat-train leaves it, with the pointer on the older run."""
    write("runs/toy/20260101-120000-aaaaaaaa/config.toml", CONFIG)
    write("runs/toy/20260102-120000-bbbbbbbb/config.toml", CONFIG.replace("3", "4"))
    write("runs/toy/latest", "20260101-120000-aaaaaaaa/checkpoints/step=10.ckpt\n")
    return "runs/toy/20260102-120000-bbbbbbbb"


def test_run_folder_and_pointer_stand_for_their_configuration(run):
    assert sat_config.load(run).seed == 4
    assert sat_config.load(f"{run}/").seed == 4
    assert sat_config.load("runs/toy/latest").seed == 3
    assert sat_config.load("runs/toy").seed == 3


def test_run_folder_is_a_layer_with_the_place_of_every_value(run, write):
    report = sat_config.check(write("top.toml", f'include = ["{run}"]\nname = "again"'))
    assert (report.config.seed, report.config.source) == (4, "/music/a.wav")
    assert report.origins["seed"].endswith("bbbbbbbb/config.toml:2")


@pytest.mark.parametrize(
    ("files", "name", "advice"),
    [
        ({"d/x.txt": "x"}, "d", "name a file, or the folder of a run, which has a config.toml"),
        (
            {"d/details.json": {"config": {}}},
            "d",
            'include = [{ path = "d/details.json", take = "config" }]',
        ),
        ({"d/latest": "gone/a.ckpt"}, "d", "name a file, or the folder"),
        ({"d/latest": b"\xff"}, "d", "name a file, or the folder"),
        ({"d/latest": "gone/a.ckpt"}, "d/latest", "write it as TOML or JSON"),
    ],
)
def test_folder_without_configuration_is_refused_with_what_to_do(write, files, name, advice):
    for path, content in files.items():
        write(path, content)
    with pytest.raises(DocumentError) as caught:
        document.read(name)
    assert caught.value.problems[0].suggestion.startswith(advice)
