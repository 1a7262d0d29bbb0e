"""Types that an installed distribution adds, each time in a process of its own.

The distribution is `plugin/` beside this file. Where it is not installed, it is made findable as
pip would have left it: a folder of the path with its module and a `.dist-info`.
"""

import importlib.metadata
import json
import os
import pathlib
import shutil
import subprocess
import sys
import textwrap
import tomllib

import pytest

PLUGIN = pathlib.Path(__file__).parent / "plugin"
PROJECT = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]


def installed():
    try:
        importlib.metadata.distribution(PROJECT["name"])
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


needs_installed = pytest.mark.skipif(not installed(), reason="the plug-in is not installed")


@pytest.fixture(scope="module", params=["by hand", pytest.param("by pip", marks=needs_installed)])
def run(request, tmp_path_factory):
    """Run code in an environment with the plug-in, of which some parts are switched on."""
    environment = dict(os.environ)
    if request.param == "by hand":
        if installed():
            pytest.skip("the plug-in is installed")
        folder = tmp_path_factory.mktemp("site")
        shutil.copytree(PLUGIN / "src", folder, dirs_exist_ok=True)
        info = folder / "sat_config_test_plugin-0.1.0.dist-info"
        info.mkdir()
        (group, entries), = PROJECT["entry-points"].items()  # fmt: skip
        lines = [f"{name} = {module}" for name, module in entries.items()]
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PROJECT['name']}\n")
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
        paths = [str(folder), *filter(None, [environment.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)

    def start(code, parts):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(PRELUDE) + textwrap.dedent(code)],
            env={**environment, "SAT_TEST_PLUGIN": parts},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return start


PRELUDE = """
    import json
    import sat_config
    from sat_config import jsonschema, loading, plugins, registry, rules

    plugins.load()
    families = {family.name: family for family in registry.current().families.values()}
    config = {"in_channels": 2, "channels": 8, "c_mults": [1], "strides": [2], "latent_dim": 4}
    vocoder = {
        "model_type": "vocoder",
        "sample_rate": 44100,
        "sample_size": 64,
        "model": {"encoder": {"type": "oobleck", "config": config}},
    }

    def autoencoder(**bottleneck):
        decoder = {"out_channels" if k == "in_channels" else k: v for k, v in config.items()}
        return {
            "model_type": "autoencoder",
            "sample_rate": 44100,
            "sample_size": 64,
            "model": {
                "latent_dim": 4, "downsampling_ratio": 2, "io_channels": 2,
                "encoder": {"type": "oobleck", "config": config},
                "decoder": {"type": "oobleck", "config": decoder},
                "bottleneck": bottleneck,
            },
        }

    def problems(document):
        found = loading.check(document).problems
        return [{f: getattr(p, f) for f in p.__struct_fields__} for p in found]
"""


def test_model_type_from_outside_is_decoded(run):
    code = """
        found = sat_config.load(vocoder)
        print(json.dumps([type(found).__name__, found.model.bands, plugins.FAILED,
                          found.model.encoder.hop_length]))
    """
    assert run(code, "good") == ["VocoderExperiment", 80, {}, 2]


def test_bottleneck_from_outside_is_decoded_and_survives_the_round_trip(run):
    code = """
        found = sat_config.load(autoencoder(type="lfq", config={"dim": 4}))
        again = sat_config.decode(json.loads(sat_config.dumps(found, "json")))
        print(json.dumps([found == again, found.model.bottleneck.config.entropy_weight]))
    """
    assert run(code, "good") == [True, 0.1]


def test_types_from_outside_are_diagnosed(run):
    code = """
        wrong = {**vocoder, "model": {**vocoder["model"], "band": 8}}
        print(json.dumps([
            problems(autoencoder(type="lfk", config={"dim": 4})),
            problems(autoencoder(type="lfq", config={"dims": 4})),
            problems({**vocoder, "model_type": "vocode"}),
            problems(wrong),
            problems({**vocoder, "model": {**vocoder["model"], "bands": 81}}),
        ]))
    """
    tag, key, model_type, band, rule = run(code, "good")
    assert [p["suggestion"] for p in tag] == ['"lfq"']
    assert '"lfq"' in tag[0]["allowed"]
    assert [(p["code"], p["suggestion"]) for p in key] == [
        ("unknown-key", "dim"),
        ("missing-key", None),
    ]
    assert [p["suggestion"] for p in model_type] == ['"vocoder"']
    assert [p["suggestion"] for p in band] == ["bands"]
    assert [(p["code"], p["suggestion"]) for p in rule] == [("TEST-E001", "82")]


def test_types_from_outside_are_in_the_schema(run):
    found = run("print(json.dumps(jsonschema.json_schema()))", "good")
    assert "vocoder" in found["properties"]["model_type"]["enum"]
    bottleneck = found["$defs"]["BottleneckNode"]
    assert "lfq" in bottleneck["properties"]["type"]["enum"]
    lfq = found["$defs"]["LFQConfig"]["properties"]["dim"]
    assert lfq["description"] == "Channels, each one bit of the code."


def test_plugin_that_fails_leaves_nothing_behind_and_is_named(run):
    code = """
        bottlenecks = families["bottleneck"]
        print(json.dumps([
            plugins.FAILED,
            "half" in bottlenecks.members or "old_half" in bottlenecks.aliases,
            "quarter" in bottlenecks.refused or "broken thing" in families,
            "TEST-E002" in rules.RULES,
            problems(autoencoder(type="lfq", config={"dim": 4})),
            problems(autoencoder(type="half")),
        ]))
    """
    failed, members, families, rules, good, half = run(code, "good broken")
    reason = "ModuleNotFoundError: No module named 'a_module_that_nobody_has'"
    assert failed == {"sat_config_test_plugin.broken": reason}
    assert not members
    assert not families
    assert not rules
    assert good == []
    note = f"these plug-ins did not load: sat_config_test_plugin.broken ({reason})"
    assert [(p["code"], p["note"]) for p in half] == [("bad-tag", note)]


def test_plugin_is_silent_unless_asked_for(run):
    code = 'print(json.dumps(["vocoder" in families["model type"].members, plugins.FAILED]))'
    assert run(code, "") == [False, {}]
