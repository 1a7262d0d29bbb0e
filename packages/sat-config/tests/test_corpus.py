"""Documents of stable-audio-tools and its forks, as their authors wrote them.

The corpus lies outside of the repository: a folder named by SAT_CORPUS_DIR, or `shared/corpus`
beside the checkout. Its index says of each file whether upstream reads it, and what it holds that
upstream does not know.
"""

import json
import os
import pathlib
import re
import warnings
from typing import NamedTuple

import msgspec
import pytest

import sat_config
from sat_config import document, layers, loading, schema
from sat_config.audio.dataset import DatasetNode
from sat_config.audio.experiment import AudioExperiment
from sat_config.errors import ConfigWarning, format_path

REPOSITORY = pathlib.Path(__file__).parents[3]
CORPUS = pathlib.Path(os.environ.get("SAT_CORPUS_DIR", REPOSITORY.parent / "shared" / "corpus"))

pytestmark = pytest.mark.skipif(not (CORPUS / "index.json").is_file(), reason="no corpus here")


class Entry(NamedTuple):
    """A line of the index."""

    file: str
    kind: str
    status: str
    why: str

    @property
    def path(self):
        return str(CORPUS / self.file)


def index():
    path = CORPUS / "index.json"
    rows = json.loads(path.read_text()) if path.is_file() else []
    return [Entry(row["file"], row["kind"], row["status"], row["why"] or "") for row in rows]


ENTRIES = index()


def of(*statuses, kinds=("model", "dataset")):
    found = [entry for entry in ENTRIES if entry.status in statuses and entry.kind in kinds]
    return pytest.mark.parametrize("entry", found, ids=lambda entry: entry.file)


def check(entry, overrides=()):
    family = DatasetNode if entry.kind == "dataset" else None
    return loading._check([entry.path], overrides, family, may_run=False)


def load(entry, path=None):
    function = sat_config.load_dataset if entry.kind == "dataset" else sat_config.load_model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        return function(path or entry.path)


# -------------------------------------------------------------------------- what the index claims

ACCEPTED = {
    "softnorm": "a bottleneck that 0.0.19 has and cannot reach",
    "AdamW8bit": "an optimizer of 0.0.20",
    "google-t5/t5-base": "a name of the same weights",
}
"""What the index calls unknown, by 0.0.19, and we know."""

ACCEPTED_KEYS = {
    "/model/pretransform/config/pretransform": "upstream reads it, had the file come that far",
    "/model/pretransform/config/patch_size": "upstream reads it, had the file come that far",
    "/training/loss_configs/bottleneck/weights/softnorm": "a weight for the bottleneck softnorm",
}
"""Keys that the index calls unread because upstream fails before it reads them."""


def claimed_tags(why):
    """Names of types and values that the index calls unknown."""
    named = re.search(r"unknown ([^;]*)", why)
    return re.findall(r'"([^"]+)"', named[1]) if named else []


def claimed_keys(why):
    """Paths of keys that the index says upstream never reads, or rejects, as patterns."""
    for listed in re.findall(r"keys upstream (?:never reads|rejects): ([^;]*)", why):
        for path in listed.split(", "):
            if path.startswith("/"):
                yield path


def matches(claim, path):
    """Whether a path of a problem is the one that the index writes as /a/b[]/c or /a/b[id]/c."""
    pattern = re.escape(claim[1:].replace("/", "."))
    pattern = re.sub(r"\\\[[^]]*\\\]", r"\\[[0-9]+\\]", pattern)
    return re.fullmatch(pattern, format_path(path)) is not None


def is_named(claim, problems):
    """Whether a problem is about the key, or about a table above it that nobody knows."""
    parts = re.sub(r"\[[^]]*\]", "", claim).strip("/").split("/")
    for problem in problems:
        if matches(claim, problem.path):
            return True
        names = [part for part in problem.path if isinstance(part, str)]
        above = names[:-1] if problem.code in ("bad-tag", "missing-tag") else names
        unknown = problem.code in ("unknown-key", "inert-key", "bad-tag", "no-root-tag")
        if unknown and parts[: len(above)] == above:
            return True
    return False


def count_of_faults(why, errors):
    """Faults that the index names: a failing stage, and keys, of an unknown table one."""
    failing = len(re.findall(r"(?:model|dataset|training) stage:|model_type missing", why))
    unknown = {problem.path for problem in errors if problem.code == "unknown-key"}
    keys = set()
    for claim in claimed_keys(why):
        path = tuple(claim.strip("/").split("/"))
        above = [path[:end] for end in range(1, len(path)) if path[:end] in unknown]
        keys.add(above[0] if above else path)
    return failing + len(keys)


def stands_there(problem, entry):
    """Whether the file has, at the place of the problem, what it is about."""
    if problem.line is None:
        return problem.path == ()  # of the document as a whole
    lines = pathlib.Path(entry.path).read_text(encoding="utf-8-sig").splitlines()
    rest = "\n".join(lines[problem.line - 1 :])[problem.column - 1 :]
    if problem.code in ("unknown-key", "comment-key", "inert-key"):
        return rest.startswith(json.dumps(problem.path[-1], ensure_ascii=False))
    if problem.found is None or problem.code == "missing-key":
        return True
    found, _ = json.JSONDecoder().raw_decode(rest)
    shown = msgspec.json.encode(found).decode()
    return isinstance(found, dict | list) or problem.found[:57] == shown[:57]


# ------------------------------------------------------------------------------------------ tests


def test_index_names_every_file():
    files = {str(path.relative_to(CORPUS)) for path in CORPUS.glob("*/*") if path.is_file()}
    assert {entry.file for entry in ENTRIES} == files


@of("upstream")
def test_upstream_document_loads(entry):
    report = check(entry)
    assert report.errors == ()
    assert load(entry) == report.config
    for problem in report.problems:
        assert problem.severity == "warning"
        assert stands_there(problem, entry)


@of("invalid")
def test_invalid_document_fails_with_every_fault(entry):
    errors = check(entry).errors
    above_the_rest = errors[0].code in ("no-root-tag", "bad-tag") and errors[0].path[1:] == ()
    if not above_the_rest:
        assert len(errors) >= count_of_faults(entry.why, errors)
        for claim in claimed_keys(entry.why):
            assert is_named(claim, errors), claim
    for problem in errors:
        assert problem.message
        assert stands_there(problem, entry), problem
    with pytest.raises(sat_config.ConfigError, match=re.escape(errors[0].message)):
        load(entry)


@of("fork-extension")
def test_what_a_fork_adds_is_named(entry):
    report = check(entry)
    problems = [p for p in report.problems if "SAT-" not in p.code]
    for claim in claimed_keys(entry.why):
        if claim not in ACCEPTED_KEYS:
            assert is_named(claim, problems), claim
    whole = any(p.code == "bad-tag" and len(p.path) == 1 for p in report.errors)
    for name in claimed_tags(entry.why):
        if name not in ACCEPTED and not whole:
            assert any(p.found == json.dumps(name) for p in report.errors), name
    for problem in report.problems:
        assert problem.message
        assert stands_there(problem, entry), problem
    if not report.errors:
        assert load(entry) == report.config
    else:
        with pytest.raises(sat_config.ConfigError):
            load(entry)


@of("fork-extension", kinds=("model",))
def test_unknown_keys_of_a_fork_can_be_accepted(entry):
    unknown = [p.path for p in check(entry).errors if p.code == "unknown-key"]
    listed = json.dumps([format_path(path) for path in unknown])
    report = check(entry, [f"checks.allow_unknown={listed}"])
    kinds = {problem.code for problem in report.errors}
    assert kinds <= {"bad-tag", "bad-value", "out-of-range", "missing-key"}
    if not kinds:
        assert set(report.config.ignored) == {format_path(path) for path in unknown}


REFUSED = {"defaults/sekstini__stable-audio-tools__smolgoose.ini": ("num_nodes",)}
"""It asks for a run on 0 machines."""


@of("upstream", "fork-extension", kinds=("defaults",))
def test_defaults_are_a_layer_of_run_keys(entry):
    found = document.read(entry.path)
    known = {*schema.fields(AudioExperiment), *layers.LAYER_KEYS}
    strange = set(found.data) - known
    claimed = set(re.findall(r"\w+", entry.why.partition(":")[2]))
    assert strange <= claimed
    if entry.status == "upstream":
        base = {"model_type": "autoencoder", "sample_rate": 44100, "sample_size": 65536}
        names = set(layers.LAYER_KEYS)
        values = {key: value for key, value in found.data.items() if key not in names}
        found = [problem.path for problem in loading.check({**base, **values}).errors]
        assert [path for path in found if path != REFUSED.get(entry.file)] == [("model",)]


# ------------------------------------------------------------------------------------ round trips


def again(config, entry, tmp_path, format):
    path = tmp_path / f"again.{format}"
    path.write_text(sat_config.dumps(config, format), encoding="utf-8")
    return load(entry, str(path))


@pytest.mark.parametrize("format", ["toml", "json"])
@of("upstream")
def test_upstream_document_survives_the_round_trip(entry, tmp_path, format):
    config = load(entry)
    assert again(config, entry, tmp_path, format) == config


@pytest.mark.parametrize("format", ["toml", "json"])
@of("fork-extension")
def test_document_of_a_fork_survives_the_round_trip(entry, tmp_path, format):
    """If it loads, be it with its unknown keys accepted."""
    report = check(entry)
    unknown = [format_path(p.path) for p in report.errors if p.code == "unknown-key"]
    if unknown and entry.kind == "model":
        report = check(entry, [f"checks.allow_unknown={json.dumps(unknown)}"])
    if report.config is not None:
        assert again(report.config, entry, tmp_path, format) == report.config
