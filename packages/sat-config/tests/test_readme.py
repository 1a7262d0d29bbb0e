import pathlib
import re

import pytest

from sat_config import cli

PACKAGE = pathlib.Path(__file__).parents[1]
README = (PACKAGE / "README.md").read_text()


@pytest.fixture
def root(monkeypatch):
    monkeypatch.chdir(PACKAGE.parents[1])


def test_example_runs(root, capsys):
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(block, {})
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("256 /")
    assert second == "model has no key 'latent_dims' - did you mean model.latent_dim"


def test_message_is_what_the_command_prints(write, capsys):
    name = write("my.toml", 'model_type = "autoencoder"\n\nbatch_size = "8"\n')
    assert cli.main(["validate", name]) == 1
    blocks = re.findall(r"```\n(my\.toml:.*?)```", README, re.DOTALL)
    assert len(blocks) == 1
    assert blocks[0] in capsys.readouterr().err


def test_commands_of_the_readme_exist(sat_files, quickstart, capsys):
    lines = [line.partition("#")[0].split() for line in README.splitlines()]
    commands = [words[1:] for words in lines if words[:1] == ["sat-config"]]
    assert len(commands) >= 4
    (sat_files / "runs" / "quickstart").mkdir(parents=True)  # what --files looks for
    (sat_files / "runs" / "quickstart" / "latest").touch()
    for words in commands:
        argv = [quickstart if word in ("my.toml", "other.toml") else word for word in words]
        assert cli.main(argv) == 0
    capsys.readouterr()
