"""A small family, so that tests of the core do not lean on the audio schema; and fixtures."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Annotated, ClassVar, Literal

import hypothesis
import pytest
from msgspec import Meta

from sat_config import plugins, registry, rules
from sat_config.node import (
    CheckpointPath,
    InputPath,
    Node,
    OutputPath,
    Positive,
    PositiveFloat,
)
from sat_config.registry import Open, family, member
from sat_config.run import Experiment

plugins.load()
hypothesis.settings.register_profile(
    "here", deadline=None, derandomize=True, database=None, max_examples=60
)
hypothesis.settings.load_profile("here")

REPOSITORY = pathlib.Path(__file__).parents[3]

with registry.fresh() as TOY:

    @family("shape")
    class Shape(Node, kw_only=True, tag_field="kind"):
        """A shape.

        Attributes:
            area: Kept when the kind changes.
        """

        area: float = 1.0

    class CircleConfig(Node, kw_only=True):
        """A circle.

        Attributes:
            radius: Half its width.
            steps: Whatever.
        """

        weight_keys: ClassVar[tuple[str, ...]] = ("steps",)

        radius: PositiveFloat
        steps: Annotated[tuple[Positive, ...], Meta(min_length=1)] = (1, 2)

    @member
    class Circle(Shape, kw_only=True, tag="circle"):
        """A circle.

        Attributes:
            config: Its size.
        """

        config: CircleConfig

    class SquareConfig(Node, kw_only=True):
        """A square.

        Attributes:
            side: Its width.
            radius: Of its corners.
        """

        side: Positive
        radius: float = 0.0

    @member
    class Square(Shape, kw_only=True, tag="square"):
        """A square.

        Attributes:
            config: Its size.
        """

        config: SquareConfig

    @member(alias_of="square")
    class OldSquare(Shape, kw_only=True, tag="quad"):
        """A square under its old name.

        Attributes:
            config: Its size.
        """

        config: SquareConfig

    @family("part")
    class Part(Node, kw_only=True, tag_field="type"):
        """A part.

        Attributes:
            id: Its name.
        """

        id: str

    @member
    class Bolt(Part, kw_only=True, tag="bolt"):
        """A bolt.

        Attributes:
            size: How large.
        """

        size: Positive = 1

    @member
    class Nut(Part, kw_only=True, tag="nut"):
        """A nut.

        Attributes:
            holds: What it goes on.
        """

        holds: Literal["m3", "m4"] = "m3"

    class Child(Node, kw_only=True):
        """A plain table.

        Attributes:
            needed: Must be given.
            depth: Need not.
            shape: A shape within.
        """

        needed: int
        depth: Positive = 1
        shape: Open[Shape] | None = None

    @family("toy", root=True)
    class Toy(Experiment, kw_only=True, tag_field="toy_type"):
        """A document.

        Attributes:
            label: Free text.
        """

        label: str = ""

    @member
    class PlainToy(Toy, kw_only=True, tag="plain"):
        """A plain one.

        Attributes:
            shape: A tagged table.
            parts: A list of tagged tables.
            child: A table.
            numbers: A table of free keys.
            children: A table of tables.
            grid: Lists in a list.
            mode: One of three, or nothing.
            count: A number or a word.
            source: Read.
            sources: Read, several.
            target: Written.
            weights: Read.
            flag: True or false.
        """

        training_keys: ClassVar[tuple[str, ...]] = ("child",)
        harmless_keys: ClassVar[tuple[str, ...]] = ("label", "children")
        latent_keys: ClassVar[tuple[str, ...] | None] = ("shape", "mode", "child")

        shape: Open[Shape] | None = None
        parts: tuple[Open[Part], ...] = ()
        child: Child | None = None
        numbers: dict[str, int] = {}  # noqa: RUF012 - msgspec copies it per instance
        children: dict[str, Child] = {}  # noqa: RUF012 - msgspec copies it per instance
        grid: tuple[tuple[int, ...], ...] = ()
        mode: Literal["fast", "slow", "idle"] | None = None
        count: Positive | Literal["auto"] = "auto"
        source: InputPath | None = None
        sources: tuple[InputPath, ...] = ()
        target: OutputPath | None = None
        weights: CheckpointPath | None = None
        flag: bool = False

    @member
    class OtherToy(Toy, kw_only=True, tag="other"):
        """Another one.

        Attributes:
            extra: Something else.
            child: A table.
        """

        extra: int = 0
        child: Child | None = None


MODEL = {
    "model_type": "autoencoder",
    "sample_rate": 44100,
    "sample_size": 65536,
    "model": {
        "encoder": {"type": "oobleck", "config": {"latent_dim": 128}},
        "decoder": {"type": "oobleck", "config": {"latent_dim": 64}},
        "bottleneck": {"type": "vae"},
        "latent_dim": 64,
        "downsampling_ratio": 512,
        "io_channels": 2,
    },
}
DATASET = {"dataset_type": "audio_dir", "datasets": [{"id": "a", "path": "audio"}]}
INI = """\
[DEFAULTS]

#name of the run
name = my_run

; two spaces in here
;   are kept
batch_size = 8  # a lot
precision = "16-mixed"
save_dir = 'out'

model_config = 'm.json'
dataset_config = d.json
ckpt_path = ''
"""


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The toy family in force, alone, and without rules; its classes by name."""
    monkeypatch.setattr(registry, "_current", TOY)
    monkeypatch.setattr(rules, "RULES", {})
    monkeypatch.setattr(rules, "_on_class", {})
    return SimpleNamespace(
        Shape=Shape,
        Circle=Circle,
        CircleConfig=CircleConfig,
        Square=Square,
        SquareConfig=SquareConfig,
        OldSquare=OldSquare,
        Part=Part,
        Bolt=Bolt,
        Nut=Nut,
        Child=Child,
        Toy=Toy,
        PlainToy=PlainToy,
        OtherToy=OtherToy,
        registry=TOY,
    )


@pytest.fixture
def here(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write(here: pathlib.Path) -> Callable[[str, object], str]:
    """Write a file below the working directory: text and bytes as they are, other data as JSON."""

    def put(name: str, content: object) -> str:
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            path.write_text(text, encoding="utf-8", newline="")
        return name

    return put


@pytest.fixture
def quickstart() -> str:
    """The experiment that ships with the repository."""
    return str(REPOSITORY / "configs" / "experiments" / "quickstart.toml")


@pytest.fixture(scope="session")
def corpus() -> pathlib.Path:
    """Public SAT documents: SAT_CORPUS_DIR, else what this checkout has beside it."""
    return _beside("corpus", os.environ.get("SAT_CORPUS_DIR"))


@pytest.fixture(scope="session")
def reference() -> list[dict]:
    """Every key of SAT's files with its default, where this checkout has the list beside it."""
    return json.loads((_beside("reference") / "config-reference.json").read_text())


def _beside(name: str, chosen: str | None = None) -> pathlib.Path:
    folder = pathlib.Path(chosen or REPOSITORY.parent / "shared" / name)
    if not folder.is_dir():
        pytest.skip(f"no {name} beside this checkout")
    return folder


@pytest.fixture
def sat_files(here: pathlib.Path, write: Callable[[str, object], str]) -> pathlib.Path:
    """A working directory with files of stable-audio-tools: m.json, d.json, defaults.ini."""
    write("m.json", MODEL)
    write("d.json", DATASET)
    write("defaults.ini", INI)
    return here
