"""The hooks, run by pre-commit itself in a repository that holds experiments."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
MODEL = {
    "model_type": "diffusion_uncond",
    "sample_rate": 44100,
    "sample_size": 65536,
    "model": {"type": "dit", "config": {"in_channels": 2, "embed_dim": 64, "num_heads": 2}},
}


@pytest.fixture
def repository(tmp_path):
    """A git repository with a model and a defaults.ini."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q", tmp_path], check=True)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "m.json").write_text(json.dumps(MODEL))
    (tmp_path / "defaults.ini").write_text("batch_size = 2\nmodel_config = m.json\n")
    return tmp_path


@pytest.fixture
def hooks(tmp_path_factory):
    """The hooks as a repository of their own, as a released version is one."""
    folder = tmp_path_factory.mktemp("hooks")
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", folder)
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "hooks"],
    ):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


def run_hook(repository, hooks, hook):
    subprocess.run(["git", "add", "."], cwd=repository, check=True)
    programs = pathlib.Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PRE_COMMIT_HOME": str(hooks / "home"),
    }
    command = [sys.executable, "-m", "pre_commit", "try-repo", hooks, hook, "--all-files"]
    done = subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_validate_passes_good_experiments_and_names_mistakes(repository, hooks):
    experiment = repository / "experiments" / "a.toml"
    experiment.write_text('model_config = "../m.json"\nbatch_size = 2\n')
    (repository / "other.toml").write_text("no = 'experiment'\n")
    status, said = run_hook(repository, hooks, "sat-config-validate")
    assert (status, "Passed" in said) == (0, True), said
    experiment.write_text('model_config = "../m.json"\nbatchsize = 2\n')
    status, said = run_hook(repository, hooks, "sat-config-validate")
    assert status == 1
    assert "experiments/a.toml:2:1: error[unknown-key]" in said


def test_migrate_fails_until_the_migrated_file_is_there_and_current(repository, hooks):
    status, said = run_hook(repository, hooks, "sat-config-migrate")
    assert status == 1
    assert "defaults.toml: is not there" in said
    migrate = [sys.executable, "-m", "sat_config.cli", "migrate", "defaults.ini"]
    subprocess.run(migrate, cwd=repository, check=True, capture_output=True)
    status, said = run_hook(repository, hooks, "sat-config-migrate")
    assert (status, "Passed" in said) == (0, True), said
    (repository / "defaults.ini").write_text("batch_size = 3\nmodel_config = m.json\n")
    status, said = run_hook(repository, hooks, "sat-config-migrate")
    assert status == 1
    assert "+batch_size = 3" in said
