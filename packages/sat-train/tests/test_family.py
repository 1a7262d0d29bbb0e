"""The recipe knows no family: one from outside trains where audio cannot even be imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

WITHOUT_AUDIO = """
import importlib.abc, json, sys

class NoAudio(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.startswith(("sat_config.audio", "sat_train.audio", "sat_train.methods")):
            raise ImportError(f"{name} was imported")

sys.meta_path.insert(0, NoAudio())
import sat_config.plugins, sat_models.build
sat_models.build.entry_points = lambda group: ()
sat_config.plugins.BUILTIN = ("toy_family",)
"""

TRAIN = """
import sat_config
from sat_train.fit import fit

document = json.loads(sys.argv[1])
first = fit(sat_config.decode({**document, "max_steps": 20}))
second = fit(sat_config.decode({**document, "max_steps": 30, "recover": True}))
assert second.run_folder == first.run_folder
print(json.dumps([dict(first.metrics), dict(second.metrics), str(second.run_folder)]))
"""


def python(text, *arguments, **variables):
    done = subprocess.run(
        [sys.executable, "-c", text, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_family_from_outside_trains_and_resumes_without_audio(tmp_path):
    path = os.pathsep.join((str(HERE), os.environ.get("PYTHONPATH", "")))
    document = {
        "model": {"name": "Line"},
        "name": "line",
        "save_dir": str(tmp_path),
        "accelerator": "cpu",
        "devices": 1,
    }
    out = python(WITHOUT_AUDIO + TRAIN, json.dumps(document), PYTHONPATH=path)
    first, second, folder = json.loads(out.splitlines()[-1])
    assert second["val/mse"] < first["val/mse"] < 1
    assert (Path(folder) / "demos" / "step=00000030" / "00_line.png").exists()
    assert "made up" in out


def test_missing_builder_names_what_could_not_be_imported():
    text = """
from importlib.metadata import EntryPoint
import sat_models.build as build
build.entry_points = lambda group: (EntryPoint("x", "no_such_module", group),)
try:
    build.build_model(3)
except build.MissingBuilderError as error:
    print(error)
"""
    out = python(text)
    assert "nothing installed builds builtins.int" in out
    assert "no_such_module: ModuleNotFoundError" in out
