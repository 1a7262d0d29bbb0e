import os
import stat

import pytest

from sat_config import cli, files


def run(*words):
    return cli.main(["migrate", *words])


def text_of(name):
    with open(name, encoding="utf-8") as file:
        return file.read()


def test_experiment_lies_beside_the_ini(sat_files, capsys):
    assert run("defaults.ini") == 0
    out, err = capsys.readouterr()
    assert out == "defaults.toml: written; next: sat-config validate defaults.toml\n"
    assert "defaults.ini:4:1: warning[new-effect]: name" in err
    assert cli.main(["validate", "defaults.toml"]) == 0


def test_each_file_is_an_experiment(sat_files, write, capsys):
    write("more.ini", "model_config = m.json\n")
    assert run("defaults.ini", "more.ini", "m.json") == 0
    assert "m.toml" in os.listdir()
    assert 'model_config = "m.json"\n' in text_of("m.toml")
    assert 'model_config = "m.json"\n' in text_of("more.toml")
    capsys.readouterr()


def test_flags_of_sat_are_understood(sat_files, capsys):
    words = ["--config-file", "defaults.ini", "--dataset-config", "d.json", "--batch-size", "2"]
    assert run(*words, "--output", "out.toml", "--pre-encode", "pre_encode.py --output-path l") == 0
    assert "batch_size = 2 #" in text_of("out.toml")
    assert '[preencode]\noutput_path = "l"\n' in text_of("out.toml")
    capsys.readouterr()


def test_flags_alone_write_experiment_toml(sat_files, capsys):
    assert run("--model-config", "m.json", "--inline") == 0
    assert 'model_type = "autoencoder"\n' in text_of("experiment.toml")
    capsys.readouterr()


def test_toml_needs_no_migration(sat_files, quickstart, capsys):
    assert run(quickstart) == 0
    assert capsys.readouterr().out == f"{quickstart}: nothing to migrate\n"


def test_second_run_finds_it_up_to_date(sat_files, capsys):
    assert run("defaults.ini") == 0
    before = os.stat("defaults.toml").st_mtime_ns
    for words in ([], ["--check"], ["--force"]):
        capsys.readouterr()
        assert run("defaults.ini", *words) == 0
        assert capsys.readouterr() == ("defaults.toml: up to date\n", "")
    assert os.stat("defaults.toml").st_mtime_ns == before


def test_place_of_the_schema_does_not_count(sat_files, capsys):
    assert run("defaults.ini") == 0
    _, _, rest = text_of("defaults.toml").partition("\n")
    with open("defaults.toml", "w", encoding="utf-8") as file:
        file.write(f"#:schema elsewhere.json\n{rest}")
    assert run("--check", "defaults.ini") == 0
    capsys.readouterr()


def test_check_writes_nothing_and_fails_while_there_is_something_to_do(sat_files, write, capsys):
    assert run("--check", "defaults.ini") == 1
    out, err = capsys.readouterr()
    assert err == ("defaults.toml: is not there; sat-config migrate without --check writes it\n")
    assert '+name = "my_run"\n' in out
    assert not os.path.exists("defaults.toml")
    write("defaults.toml", "seed = 1\n")
    assert run("--check", "defaults.ini") == 1
    out, err = capsys.readouterr()
    assert "defaults.toml: is not what the migration gives; sat-config" in err
    assert "-seed = 1\n" in out
    assert text_of("defaults.toml") == "seed = 1\n"


def test_other_file_is_overwritten_only_when_told(sat_files, write, capsys):
    write("defaults.toml", "seed = 1\n")
    assert run("defaults.ini") == 1
    assert (
        capsys.readouterr().err == "defaults.toml: is there and differs; --force writes over it\n"
    )
    assert text_of("defaults.toml") == "seed = 1\n"
    assert run("defaults.ini", "--force") == 0
    assert 'name = "my_run"' in text_of("defaults.toml")
    capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gone.ini"], "there is no such file"),
        (["d.json"], "this looks like a dataset"),
        (["defaults.ini", "--output", "no/such/folder.toml"], "cannot be written"),
        (["defaults.ini", "--output", "folder"], "is there and cannot be read"),
    ],
)
def test_what_cannot_be_done_is_status_1(sat_files, words, said, capsys):
    os.mkdir("folder")
    assert run(*words) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [[], ["--inline"], ["a.ini", "b.ini", "--output", "c.toml"], ["--pre-encode", "--x"]]
)
def test_wrong_usage_is_status_2(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(*words)
    assert stopped.value.code == 2
    assert "usage: " in capsys.readouterr().err


def test_file_is_written_whole_or_not_at_all(here, monkeypatch):
    files.write_whole("a.txt", "old\n")
    assert stat.S_IMODE(os.stat("a.txt").st_mode) == 0o666 & ~files._umask()

    def fail(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        files.write_whole("a.txt", "new\n")
    assert os.listdir() == ["a.txt"]
    assert text_of("a.txt") == "old\n"
