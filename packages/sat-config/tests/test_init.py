"""The templates of `sat-config init`, and what somebody sees who knows nothing else."""

import os
import pathlib
import re
import tomllib

import pytest

import sat_config
from sat_config import cli, shipped
from sat_config.cli.init import TEMPLATES

FOLDER = pathlib.Path(shipped.FOLDER, "experiments")
each_template = pytest.mark.parametrize("name", TEMPLATES)


def run(*words):
    return cli.main(["init", *words])


def test_every_template_is_listed_with_what_it_does(capsys):
    assert run() == 0
    out = capsys.readouterr().out
    listed = dict(re.findall(r"^(\w+)  +(\S.*)$", out, re.MULTILINE))
    assert set(TEMPLATES) <= set(listed)
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(TEMPLATES)
    assert listed["latents"] == "Train a diffusion model on latents that sat-preencode has written"
    assert max(map(len, out.splitlines())) <= 100
    assert "sat-config init TEMPLATE [FILE]" in out


@each_template
def test_template_may_run_without_a_warning(here, name, capsys):
    assert run(name) == 0
    assert cli.main(["validate", "--strict", f"{name}.toml"]) == 0
    out, err = capsys.readouterr()
    assert f"sat-config validate {name}.toml" in out
    assert err == ""


@each_template
def test_template_explains_itself(name):
    text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 100
    assert f"#   sat-config validate {name}.toml " in text
    assert re.search(rf"#   sat-(train|preencode) {name}\.toml ", text)
    (path,) = re.findall(rf"sat-config explain {name}\.toml (\S+)\n", text)
    assert value_at(sat_config.check(f"sat:experiments/{name}").config, path) is not None
    (word,) = re.findall(rf"sat-\w+ {name}\.toml --override (\S+)\n", text)
    assert sat_config.check(f"sat:experiments/{name}", [word]).errors == ()


def value_at(config, path):
    for key in path.split("."):
        config = getattr(config, key)
    return config


@each_template
def test_what_a_template_reads_lies_where_another_writes_it(name):
    """The chain of templates fits: names of runs and folders of latents."""
    experiment = sat_config.check(f"sat:experiments/{name}").config
    others = [sat_config.check(f"sat:experiments/{other}").config for other in TEMPLATES]
    wanted = [experiment.pretransform_ckpt_path]
    if experiment.preencode is not None:
        wanted.append(experiment.preencode.checkpoint)
    for path in filter(None, wanted):
        run_name = re.search(r"runs/(\w+)/latest$", path)
        assert run_name is None or run_name[1] in TEMPLATES
    if type(experiment.dataset).__name__ == "PreEncodedNode":
        folder = "latents/" + pathlib.Path(experiment.dataset.datasets[0].path).name
        (writer,) = [o for o in others if o.preencode and o.preencode.output_path == folder]
        assert writer.preencode.sample_size == experiment.sample_size
        assert writer.model == experiment.model.pretransform.config


def test_file_may_have_another_name_and_place(here, capsys):
    os.mkdir("mine")
    assert run("latents", "mine/first.toml") == 0
    text = pathlib.Path("mine/first.toml").read_text(encoding="utf-8")
    assert "#   sat-train mine/first.toml " in text
    assert "latents.toml" not in text
    assert cli.main(["validate", "mine/first.toml"]) == 0
    capsys.readouterr()


def test_lines_to_change_are_announced_only_where_there_are_some(here, capsys):
    assert run("autoencoder", "mine.toml") == 0
    assert capsys.readouterr().out == (
        "mine.toml: written\n"
        "next: change the lines marked <-, then\n"
        "  sat-config validate mine.toml\n"
        "  sat-train mine.toml\n"
        "  sat-preencode mine.toml\n"
    )
    assert run("latents") == 0
    assert capsys.readouterr().out == (
        "latents.toml: written\nnext:\n"
        "  sat-config validate latents.toml\n  sat-train latents.toml\n"
    )


def test_first_line_names_the_schema_of_the_package(here, capsys):
    assert run("lm") == 0
    first = pathlib.Path("lm.toml").read_text(encoding="utf-8").splitlines()[0]
    assert first == shipped.schema_line(".")
    assert pathlib.Path(first.removeprefix("#:schema ")).is_file()
    capsys.readouterr()


def test_file_is_never_overwritten(here, write, capsys):
    write("lm.toml", "mine\n")
    assert run("lm") == 1
    assert capsys.readouterr().err == "lm.toml: is there already; name another file\n"
    assert pathlib.Path("lm.toml").read_text() == "mine\n"
    assert run("lm", "no/folder.toml") == 1
    assert "no/folder.toml: cannot be written" in capsys.readouterr().err


def test_unknown_template_is_wrong_usage(here, capsys):
    with pytest.raises(SystemExit) as stopped:
        run("autoencder")
    assert stopped.value.code == 2
    assert "was autoencoder meant? There are: autoencoder, latents" in capsys.readouterr().err
    assert os.listdir() == []


@each_template
def test_template_is_a_layer_too(here, name):
    assert tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    assert f"sat:experiments/{name}" in shipped.names()
