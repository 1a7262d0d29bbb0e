import io
import json
import os
import subprocess
import sys

import pytest

from sat_config import cli


def run(*argv):
    return cli.main([*argv])


@pytest.fixture
def good(toy, write):
    return write("good.toml", 'toy_type = "plain"\nseed = 3\n')


def test_validate_says_valid(good, capsys):
    assert run("validate", good) == 0
    assert capsys.readouterr() == ("good.toml: valid\n", "")


def test_validate_reports_every_file_on_the_error_stream(good, write, capsys):
    bad = write("bad.toml", "x")
    write("worse.toml", 'toy_type = "plain"\nseed = -1\n')
    assert run("validate", good, bad, "worse.toml", "gone.toml") == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "good.toml: valid",
        "bad.toml: not valid",
        "worse.toml: not valid",
        "gone.toml: not valid",
    ]
    assert "bad.toml:1:2: error[syntax]" in err
    assert "worse.toml:2:8: error[out-of-range]: seed is -1" in err
    assert "gone.toml: error[missing-file]" in err
    assert err.endswith("3 errors\n")


def test_validate_strict_fails_for_warnings(toy, write, capsys):
    name = write("a.json", {"toy_type": "plain", "_note": 1})
    assert run("validate", name) == 0
    assert run("validate", "--strict", name) == 1
    assert "warning[comment-key]" in capsys.readouterr().err


def test_validate_writes_json(good, write, capsys):
    bad = write("bad.toml", 'toy_type = "plain"\nsed = -1\n')
    assert run("validate", "--format", "json", good, bad) == 1
    out, err = capsys.readouterr()
    (problem,) = json.loads(out)
    assert err == ""
    assert {key: problem[key] for key in ("code", "severity", "path", "file", "line")} == {
        "code": "unknown-key",
        "severity": "error",
        "path": ["sed"],
        "file": "bad.toml",
        "line": 2,
    }
    assert (problem["column"], problem["suggestion"]) == (1, "seed")


def test_validate_of_a_good_file_writes_an_empty_list(good, capsys):
    assert run("validate", "--format", "json", good) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_overrides_and_layers_are_laid_on_top(good, write, capsys):
    more = write("more.toml", "batch_size = 7\n")
    words = ["--override", "seed=5", "--layer", more, "--override=label=x y"]
    assert run("show", good, *words, "--format", "json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["seed"], shown["batch_size"], shown["label"]) == (5, 7, "x y")


def test_removal_needs_no_equals_sign(good, capsys):
    assert run("show", good, "--override", "-seed", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["seed"] == 42
    assert cli.join_overrides(["--override", "-a", "--override"]) == ["--override=-a", "--override"]


def test_show_prints_a_document_that_validates(good, write, capsys):
    assert run("show", good) == 0
    write("again.toml", capsys.readouterr().out)
    assert run("validate", "again.toml") == 0


def test_show_origins_says_who_set_what(good, capsys):
    assert run("show", good, "--origins", "--override", "label=x") == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert ["seed", "good.toml:2"] in lines
    assert ["batch_size", "default"] in lines
    assert ["label", "--override 'label=x'"] in lines


def test_show_of_a_broken_file_prints_no_document(good, capsys):
    assert run("show", good, "--override", "seed=-1") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "seed is -1" in err


@pytest.mark.parametrize("argv", [[], ["frobnicate"], ["validate"], ["show", "a", "--format", "x"]])
def test_wrong_usage_is_status_2(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        run(*argv)
    assert caught.value.code == 2
    assert "usage: sat-config" in capsys.readouterr().err


def test_command_runs_as_a_process(quickstart):
    command = [sys.executable, "-m", "sat_config.cli", "validate", quickstart]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{quickstart}: valid\n"


@pytest.mark.parametrize("argv", [["show"], ["show", "--origins"], ["validate", "--format=json"]])
def test_reader_that_stops_early_is_no_error(quickstart, argv):
    command = [sys.executable, "-m", "sat_config.cli", *argv, quickstart]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


def test_main_reads_the_command_line(good, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["sat-config", "validate", good])
    assert cli.main() == 0
    assert capsys.readouterr().out == "good.toml: valid\n"


def test_reader_that_stops_early_is_noticed_in_the_process_too(good, monkeypatch):
    class Closed(io.StringIO):
        def flush(self):
            raise BrokenPipeError

        def fileno(self):
            return spare

    spare = os.open(os.devnull, os.O_WRONLY)
    monkeypatch.setattr(sys, "stdout", Closed())
    try:
        assert run("show", good) == 1
    finally:
        os.close(spare)
