"""Explaining keys, from Python and by the command."""

import json

import pytest

import sat_config
from sat_config import cli, loading, plugins
from sat_config.errors import UserError
from sat_config.rules import Broken, rule


@pytest.fixture
def files(toy, write):
    write("base.toml", 'toy_type = "plain"\nseed = 3\nlabel = "x"\n[shape]\nkind = "circle"\n'
          "area = 2.0\n[shape.config]\nradius = 1.0\n"
          "[[parts]]\ntype = 'bolt'\nid = 'a'\n")  # fmt: skip
    write("top.toml", 'include = ["base.toml"]\nseed = 4\n[shape]\nkind = "square"\n'
          "config = { side = 2 }\n")  # fmt: skip
    return "top.toml"


def explain(file, key, *words):
    return sat_config.explain(loading.check(file, words).folded, key)


def history(found):
    return [(s.origin, "removed" if s.removed else s.value) for s in found.settings]


def test_key_has_its_value_range_default_and_meaning(files):
    found = explain(files, "seed")
    assert (found.path, found.value, found.default, found.required) == ("seed", 4, 42, False)
    assert found.allowed == "an integer at least 0"
    assert found.description.startswith("Seeds weights")
    assert found.consequence == "needs a restart"


def test_everybody_who_set_a_key_is_named_in_order(files):
    assert history(explain(files, "seed", "seed=5", "seed=6")) == [
        ("base.toml:2", 3),
        ("top.toml:2", 4),
        ("--override 'seed=5'", 5),
        ("--override 'seed=6'", 6),
    ]


def test_tag_says_who_changed_it(files):
    found = explain(files, "shape.kind")
    assert history(found) == [("base.toml:5", "circle"), ("top.toml:4", "square")]
    assert found.allowed == '"circle", "square", "quad"'


def test_key_that_a_changed_tag_dropped_says_so(files):
    assert history(explain(files, "shape.config.radius"))[:2] == [
        ("base.toml:8", 1.0),
        ("top.toml:4", "removed"),
    ]
    assert explain(files, "shape.area").settings[0].origin == "base.toml:6"


def test_dropped_keys_are_listed_with_who_did_it(files, write):
    name = write("tag.toml", 'include = ["base.toml"]\n[shape]\nkind = "square"\n')
    report = loading.check(name)
    assert sat_config.explain(report.folded, "shape.kind").dropped == {"config": "tag.toml:3"}


def test_removed_key_says_who_removed_it(files):
    found = explain(files, "label", "-label")
    assert history(found) == [("base.toml:3", "x"), ("--override '-label'", "removed")]
    assert found.value == ""
    found = explain(files, "label", "-label", "label=y")
    assert history(found)[-1] == ("--override 'label=y'", "y")


def test_part_of_a_replaced_table_keeps_its_history(files):
    found = explain(files, "shape.area", 'shape={kind="square", area=3.0, config={side=1}}')
    assert history(found)[0] == ("base.toml:6", 2.0)
    assert found.settings[-1].value == 3.0


def test_element_is_found_by_id_and_unset_keys_have_their_default(files):
    found = explain(files, "parts[a].size")
    assert (found.path, found.value, found.settings) == ("parts[0].size", 1, ())


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("sed", "the document has no key 'sed'; did you mean seed?"),
        ("shape.zzz", "shape has no key 'zzz' It has: area, config"),
        ("parts[b].size", "no element of parts has the id 'b'"),
        ("seed=1", "'seed=1' is not the path of a key"),
        ("", "an override starts with the path"),
    ],
)
def test_what_is_no_key_is_refused(files, key, message):
    with pytest.raises(UserError) as caught:
        explain(files, key)
    assert str(caught.value).startswith(message)


def test_rules_that_read_a_key_are_named(files, toy):
    @rule("TOY-E001", on=toy.PlainToy, reads=("shape.config",))
    def check(node):
        """Squares are nice."""
        yield Broken("never", ()) if node is None else Broken("x")

    found = explain(files, "shape.config.side")
    assert [(reader.code, reader.demands) for reader in found.rules] == [
        ("TOY-E001", "Squares are nice.")
    ]
    assert explain(files, "seed").rules == ()


# ------------------------------------------------------------------------------------ the command


def run(*argv):
    return cli.main([*argv])


def test_command_explains_a_key_of_a_file(files, capsys):
    assert run("explain", files, "seed", "--override", "seed=9") == 0
    assert capsys.readouterr() == (
        "seed = 9\n"
        "  Seeds weights, data order, crops and sampling.\n"
        "  allowed   an integer at least 0\n"
        "  default   42\n"
        "  a change  needs a restart\n"
        "  set by    base.toml:2  3\n"
        "  then by   top.toml:2  4\n"
        "  then by   --override 'seed=9'  9\n",
        "",
    )


def test_command_writes_json(files, capsys):
    assert run("explain", files, "seed", "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["value"], [s["origin"] for s in found["settings"]]) == (
        4,
        ["base.toml:2", "top.toml:2"],
    )


def test_command_explains_what_is_wrong_too(files, write, capsys):
    assert run("explain", files, "seed", "--override", "seed=-1") == 1
    out, err = capsys.readouterr()
    assert out.startswith("seed = -1\n")
    assert "seed is -1" in err
    assert run("explain", files, "sed") == 1
    assert "did you mean seed?" in capsys.readouterr().err
    assert run("explain", write("bad.toml", "x"), "seed") == 1


def test_command_documents_paths_families_and_types(toy, capsys):
    assert run("explain", "shape.config.radius") == 0
    out = capsys.readouterr().out
    assert out.count("shape.config.radius\n") == 2
    assert "Half its width." in out
    assert "Of its corners." in out
    assert run("explain", "circle") == 0
    out = capsys.readouterr().out
    assert "shape circle\n  A circle.\n" in out
    assert "    radius (a number above 0; required): Half its width." in out
    assert run("explain", "part", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)[0]["type"] == "Part"


def test_command_lists_all_families_and_failed_plugins(toy, capsys, monkeypatch):
    monkeypatch.setattr(plugins, "FAILED", {"broken": "ImportError: x"})
    assert run("explain") == 0
    out = capsys.readouterr().out
    assert "shape (kind): A shape.\n  circle  A circle.\n" in out
    assert out.endswith("plug-in broken did not load: ImportError: x\n")
    assert run("explain", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["part"] == ["bolt", "nut"]


def test_command_says_what_a_name_may_have_meant(toy, capsys):
    assert run("explain", "circel") == 1
    assert capsys.readouterr().err == "nothing is called 'circel'; did you mean circle?\n"


@pytest.mark.parametrize("words", [["a.toml"], ["a.toml", "b", "c"]])
def test_command_with_wrong_words_is_wrong_usage(words):
    with pytest.raises(SystemExit) as caught:
        run("explain", *words)
    assert caught.value.code == 2
