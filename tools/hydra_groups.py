"""Write the shipped presets as Hydra groups: the model apart from the training it came with.

    python tools/hydra_groups.py

Run it after changing a preset; a test of sat-hydra-adapter compares the two. What is written by
hand in the groups (experiments, datasets, small models) is left alone.
"""

import re
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

import sat_config
from sat_config import shipped

GROUPS = Path(__file__).parents[1] / "packages/sat-hydra-adapter/src/sat_hydra_adapter/groups"


class Writer(yaml.SafeDumper):
    """Short lists on one line, keys in the order of the preset."""

    def represent_list(self, data: list[Any]) -> yaml.Node:
        """A list of scalars stands on one line."""
        flat = not any(isinstance(item, dict | list) for item in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flat)

    def ignore_aliases(self, data: object) -> bool:
        """Write values out each time."""
        return True


Writer.add_representer(list, Writer.represent_list)


def main() -> None:
    """Write every model preset."""
    for name in shipped.names():
        preset = name.removeprefix(shipped.PREFIX)
        if "/" in preset:
            continue
        tree = dict(sat_config.check(name).folded.tree)
        tree |= {"model": tree.pop("model")}  # below the short keys
        training = tree.pop("training", None)
        header = _leading_comments(Path(shipped.find(name)))
        defaults = f"defaults:\n  - /training: {preset}\n\n" if training is not None else ""
        _write("model", preset, header, defaults, tree)
        if training is not None:
            title = f"# The training that sat:{preset} was published with.\n"
            _write("training", preset, title, "", {"training": training})


def _leading_comments(path: Path) -> str:
    """What the preset says of itself, with overrides as Hydra words."""
    lines = takewhile(lambda line: line.startswith("#"), path.read_text().splitlines())
    text = "".join(f"{line}\n" for line in lines)
    return re.sub(r"--override '(.*)\[prompt\](.*)'", r"\1.0\2", text)


def _write(group: str, name: str, header: str, defaults: str, tree: dict[str, Any]) -> None:
    text = yaml.dump(tree, Dumper=Writer, sort_keys=False, width=100)
    (GROUPS / group / f"{name}.yaml").write_text(f"# @package _global_\n{header}{defaults}{text}")


if __name__ == "__main__":
    main()
