"""The commands `diff` and `schema`."""

import json
import pathlib
import subprocess
import sys

import pytest

from sat_config import cli, jsonschema

ROOT = pathlib.Path(__file__).parents[3]


def run(*argv):
    return cli.main([*argv])


@pytest.fixture
def pair(toy, write):
    text = 'toy_type = "plain"\nshape = { kind = "circle", config = { radius = 1.0 } }\n'
    write("a.toml", text)
    write("b.toml", f"seed = 3\n{text}")
    return ["a.toml", "b.toml"]


def test_diff_says_what_each_change_does(pair, capsys):
    assert run("diff", *pair) == 0
    assert capsys.readouterr() == ("seed: 42 -> 3  (needs a restart)\n", "")


def test_diff_of_the_same_says_so(pair, capsys):
    assert run("diff", *pair, "--override", "seed=1") == 0
    assert capsys.readouterr().out == "no difference\n"


def test_diff_writes_json(pair, capsys):
    assert run("diff", *pair, "--format", "json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "path": ["seed"],
            "before": 42,
            "after": 3,
            "effect": "restart",
            "invalidates_latents": False,
        }
    ]


def test_diff_reports_what_cannot_be_compared(pair, write, capsys):
    bad = write("bad.toml", "toy_type = 3\n")
    assert run("diff", pair[0], bad) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "bad.toml:1:12: error[bad-tag]" in err


def test_schema_is_printed_and_written(toy, here, capsys):
    assert run("schema", "layer") == 0
    assert json.loads(capsys.readouterr().out)["$schema"] == jsonschema.DIALECT
    assert run("schema", "--out", "new/folder") == 0
    written = capsys.readouterr().out.split()
    assert written == [f"new/folder/{name}.schema.json" for name in jsonschema.DOCUMENTS]
    assert all(json.loads(pathlib.Path(path).read_text()) for path in written)
    assert run("schema", "--out", "new/folder", "--check") == 0


def test_old_schema_is_named(toy, here, capsys):
    run("schema", "--out", "s")
    pathlib.Path("s/model.schema.json").write_text("{}")
    pathlib.Path("s/layer.schema.json").unlink()
    assert run("schema", "--out", "s", "--check") == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "s/layer.schema.json",
        "s/model.schema.json",
    ]


def test_schema_that_cannot_be_written_is_an_error(toy, write, capsys):
    write("file", "x")
    assert run("schema", "--out", "file/below") == 1
    assert "file/below: cannot be written" in capsys.readouterr().err


def test_check_without_a_folder_is_wrong_usage(capsys):
    with pytest.raises(SystemExit) as caught:
        run("schema", "--check")
    assert caught.value.code == 2


def test_shipped_schemas_are_current():
    tool = ROOT / "tools" / "schemas.py"
    done = subprocess.run(
        [sys.executable, tool, "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), "run tools/schemas.py"


def test_validate_looks_for_files_when_asked(toy, write, here, capsys):
    (here / "clips").mkdir()
    name = write("a.toml", 'toy_type = "plain"\nsource = "clip"\nsources = ["clips", "b/c"]\n'
                 'weights = "gone.ckpt"\ntarget = "new"\n')  # fmt: skip
    assert run("validate", name) == 0
    assert run("validate", "--files", name) == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == ["a.toml: valid", "a.toml: not valid"]
    assert err.startswith("a.toml:2:10: error[missing-path]: source: there is no ")
    assert f"= try: {here / 'clips'}" in err
    assert err.count("missing-path") == 3
    assert "= note: sat-train writes it" not in err
    assert run("validate", "--files", name, "--override", "weights=runs/x/latest") == 1
    assert "= note: sat-train writes it" in capsys.readouterr().err
    (here / "clip").touch()
    (here / "gone.ckpt").touch()
    assert run("validate", "--files", name, "--override", "-sources") == 0


def test_validate_strict_says_not_valid(toy, write, capsys):
    name = write("a.json", {"toy_type": "plain", "_note": 1})
    assert run("validate", "--strict", name) == 1
    assert capsys.readouterr().out == "a.json: not valid\n"


def test_origins_are_written_as_json(pair, capsys):
    assert run("show", pair[1], "--origins", "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["seed"], found["batch_size"]) == ("b.toml:1", "default")
