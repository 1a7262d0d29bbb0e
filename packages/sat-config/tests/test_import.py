"""What importing costs, and what it must not need."""

import subprocess
import sys

import pytest

FOREIGN = ("torch", "numpy", "scipy", "pytorch_lightning", "yaml", "pydantic", "attr", "rich")
SLOW = ("argparse", "difflib", "importlib.metadata", "inspect", "json", "pathlib", "tempfile",
        "tomllib", "tomli_w", "urllib", "subprocess", "asyncio", "sat_config.audio")  # fmt: skip


def modules_after(statement):
    script = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_import_brings_no_foreign_package():
    found = modules_after("import sat_config; sat_config.loading.plugins.load()")
    assert not found & set(FOREIGN)
    tops = {name.partition(".")[0] for name in found} - set(sys.stdlib_module_names)
    assert "sat_models" not in tops


def test_import_leaves_what_is_slow_for_later():
    before = modules_after("import msgspec")
    assert not (modules_after("import sat_config") - before) & set(SLOW)


def test_validating_a_good_file_needs_no_diagnosis(quickstart):
    found = modules_after(f"import sat_config; sat_config.load({quickstart!r})")
    assert not found & {"difflib", "tomli_w", "importlib.metadata", "argparse"}


SCRIPT = """
import sys
sys.modules["sat_config.audio"] = None
from sat_config import plugins
plugins.BUILTIN = ()
import sat_config
from sat_config import registry
from sat_config.run import Experiment

report = sat_config.check(sys.argv[1])
assert report.problems[0].message == "no family of documents is installed", report.problems

@registry.family("toy", root=True)
class Toy(Experiment, kw_only=True, tag_field="toy_type"):
    pass

@registry.member
class Plain(Toy, kw_only=True, tag="plain"):
    size: int = 1

assert sat_config.load(sys.argv[1], ["size=2"]).size == 2
try:
    sat_config.load(sys.argv[1], ["sizes=2"])
except sat_config.ConfigError as error:
    assert "size" in str(error)
assert not any(name.startswith("sat_config.audio.") for name in sys.modules)
"""


def test_core_works_without_the_audio_family(write):
    name = write("a.toml", 'toy_type = "plain"')
    subprocess.run([sys.executable, "-c", SCRIPT, name], check=True)


@pytest.mark.parametrize("attribute", ["load", "load_model", "load_dataset", "decode", "dumps"])
def test_public_names_are_there(attribute):
    import sat_config

    assert attribute in sat_config.__all__
    assert callable(getattr(sat_config, attribute))
    assert all(hasattr(sat_config, name) for name in sat_config.__all__)
