r"""Whether stable-audio-tools (SAT) builds from what sat-config writes what it builds from its own.

Each case is a document as SAT's users write it. sat_config decodes it and writes it again as JSON,
with every default spelled out. An installation of SAT in an environment of its own then builds both
(model, training wrapper with its losses, optimizers and schedulers, demo callback, or data loader),
and what came out is compared: the names, shapes and kinds of weights, the values of buffers, and
every plain attribute of every object (strides, switches, weights of losses, ...).

    uv venv --python 3.11 ENV
    uv pip install --python ENV/bin/python --requirements tools/sat_requirements.txt
    uv pip install --python ENV/bin/python --no-deps stable-audio-tools==0.0.19 argbind==0.3.9 \
        descript-audio-codec==1.0.0 descript-audiotools==0.7.2 encodec==0.1.1 k-diffusion==0.1.1 \
        v-diffusion-pytorch==0.0.2
    python tools/sat_builds_ours.py --python ENV/bin/python --out docs/results/sat_builds_ours.txt

Documents named on the command line are compared in the same way.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from sat_cases import CASES, PRESETS

import sat_config
from sat_config import plugins, registry
from sat_config.audio.dataset import DatasetNode

WORKER = Path(__file__).with_name("sat_worker.py")
OURS_ALONE = {
    "model type hyperencoder": "SAT has the name and no such model",
    "bottleneck softnorm": "SAT builds it from 0.0.20 on",
    "optimizer AdamW8bit": "SAT takes it from bitsandbytes from 0.0.20 on",
    "codebook pattern parallel": "SAT takes the bare name",
    "codebook pattern delay": "SAT takes the bare name",
    "codebook pattern unroll": "SAT takes the bare name",
    "codebook pattern musiclm": "SAT takes the bare name",
}
"""Types that SAT's documents cannot have."""


def main() -> int:
    """Write the pairs, have them built, and report; 1 if SAT reads ours otherwise than its own."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", required=True, help="Python of the environment with SAT")
    parser.add_argument("--out", type=Path, help="file that also takes the report")
    parser.add_argument("--only", default="", help="cases whose names contain this")
    parser.add_argument("files", nargs="*", type=Path, help="further model documents of SAT's")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", sat_config.ConfigWarning)
    documents = {**CASES, **dict(presets()), **{path.stem: read(path) for path in arguments.files}}
    chosen = {name: found for name, found in documents.items() if arguments.only in name}
    with tempfile.TemporaryDirectory() as folder:
        covered = write_pairs(chosen, Path(folder))
        command = [arguments.python, str(WORKER), folder]
        subprocess.run(command, check=True, stdout=sys.stderr)
        results = json.loads((Path(folder) / "results.json").read_text())
    text = report(results, covered)
    print(text, end="")
    if arguments.out:
        arguments.out.write_text(text)
    return 1 if any(result["verdict"] == "DIFFERS" for result in results["cases"].values()) else 0


def presets() -> Iterator[tuple[str, dict[str, Any]]]:
    """The shipped models, as a person would write them: what equals a default is left out."""
    for name in PRESETS:
        config = sat_config.load_model(name, ["-training"])
        yield name, sparse(config)


def sparse(value: Any) -> Any:  # noqa: ANN401 - plain data of any kind
    """Plain data of a configuration without what equals a default."""
    if isinstance(value, msgspec.Struct):
        kept = {
            field.encode_name: sparse(getattr(value, field.name))
            for field in msgspec.structs.fields(value)
            if field.required or getattr(value, field.name) != field.default
        }
        tag = value.__struct_config__.tag
        return {value.__struct_config__.tag_field: tag, **kept} if tag else kept
    if isinstance(value, Mapping):
        return {key: sparse(found) for key, found in value.items()}
    if isinstance(value, list | tuple):
        return [sparse(found) for found in value]
    return value


def read(path: Path) -> dict[str, Any]:
    """A JSON document."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def write_pairs(documents: Mapping[str, dict[str, Any]], folder: Path) -> set[str]:
    """Write each document and what sat_config makes of it; the types that they contain."""
    covered: set[str] = set()
    for number, (name, document) in enumerate(documents.items()):
        kind = DatasetNode if "dataset_type" in document else None
        config = sat_config.decode(document, kind)
        covered.update(types(config))
        pair = {"name": name, "original": document, "ours": sat_config.dumps(config, "json")}
        (folder / f"{number:03}.json").write_text(json.dumps(pair))
    return covered


def types(value: Any) -> Iterator[str]:  # noqa: ANN401 - a Struct or what is in one
    """Family and tag of every node."""
    if isinstance(value, msgspec.Struct):
        entry = registry.current().family_of(type(value))
        if entry is not None:
            yield f"{entry.name} {value.__struct_config__.tag}"
        for name in value.__struct_fields__:
            yield from types(getattr(value, name))
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from types(inner)
    elif isinstance(value, tuple):
        for inner in value:
            yield from types(inner)


def report(results: dict[str, Any], covered: set[str]) -> str:
    """The results as text."""
    cases = results["cases"]
    width = max(map(len, cases))
    verdicts = [result["verdict"] for result in cases.values()]
    counts = ", ".join(f"{verdicts.count(word)} {word}" for word in dict.fromkeys(verdicts))
    lines = [
        "What stable-audio-tools builds from its own JSON, and from what sat-config writes of it.",
        "; ".join(f"{name} {version}" for name, version in results["versions"].items()),
        "",
        "same      equal weights, buffers and attributes",
        "repaired  the same, once SAT's own mistake (below the case) was mended while it ran",
        "neither   SAT builds neither, for the reason below the case",
        "DIFFERS   it builds only one, or something else",
        "",
        f"{counts}",
        "",
        *(line for name in cases for line in case_lines(name, cases[name], width)),
        "",
        "Types of sat-config that no case has:",
        *uncovered(covered),
        "",
        "Stand-ins for what SAT would download or is not installed:",
        *(f"  {line}" for line in results["stand_ins"]),
    ]
    return "\n".join(lines) + "\n"


def case_lines(name: str, result: dict[str, Any], width: int) -> Iterator[str]:
    """A case: its verdict and the number of weights, then whatever there is to say."""
    counts = f"{result['parameters']:>13,}" if result["parameters"] is not None else " " * 13
    yield f"{result['verdict']:8}  {name:{width}}  {counts}".rstrip()
    yield from (f"          {note}" for note in result["notes"])


def uncovered(covered: set[str]) -> Iterator[str]:
    """The registered types that are in no case, each with the reason."""
    plugins.load()
    for entry in registry.current().families.values():
        for tag in entry.members:
            name = f"{entry.name} {tag}"
            if name not in covered:
                yield f"  {name}: {OURS_ALONE.get(name, 'MISSING')}"


if __name__ == "__main__":
    sys.exit(main())
