"""A tiny world: an autoencoder of a few hundred weights, and clips of noise."""

import json
from dataclasses import dataclass, field
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from rich.console import Console

import sat_config
from sat_models.build import build_model
from sat_models.checkpoint import save_checkpoint
from sat_preencode import PreencodeResult, preencode
from sat_preencode.encoding import Encoder
from sat_preencode.folders import stored_metadata, stored_values
from sat_preencode.progress import Reporter
from sat_preencode.records import read_folder

RATE = 8000
SIZE = 256
HOP = 8

AUTOENCODER = {
    "encoder": {
        "type": "oobleck",
        "config": {
            "in_channels": 2,
            "channels": 4,
            "latent_dim": 6,
            "c_mults": [1, 2],
            "strides": [2, 4],
        },
    },
    "decoder": {
        "type": "oobleck",
        "config": {
            "out_channels": 2,
            "channels": 4,
            "latent_dim": 3,
            "c_mults": [1, 2],
            "strides": [2, 4],
        },
    },
    "bottleneck": {"type": "vae"},
    "latent_dim": 3,
    "downsampling_ratio": HOP,
    "io_channels": 2,
}


@pytest.fixture(autouse=True)
def _reproducible():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@dataclass
class World:
    """A dataset, a checkpoint, and what was said by the last run.

    Attributes:
        root: Holds `audio`, `vae.safetensors` and `latents`.
        said: What runs have reported.
    """

    root: Path
    said: StringIO = field(default_factory=StringIO)

    @property
    def latents(self) -> Path:
        return self.root / "latents"

    def add_clip(self, relpath: str, samples: int, *, seed: int = 0) -> Path:
        path = self.root / "audio" / relpath
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = torch.randn(samples, 2, generator=torch.Generator().manual_seed(seed + samples))
        soundfile.write(path, (noise * 0.2).clamp(-1, 1).numpy(), RATE)
        return path

    def document(self, **changes) -> dict:
        return {
            "model_type": "autoencoder",
            "sample_rate": RATE,
            "sample_size": SIZE,
            "audio_channels": 2,
            "model": AUTOENCODER,
            "batch_size": 4,
            "num_workers": 0,
            "max_bad_share": 1.0,
            "accelerator": "cpu",
            "dataset": {
                "dataset_type": "audio_dir",
                "datasets": [{"id": "music", "path": str(self.root / "audio")}],
            },
            "preencode": {
                "output_path": str(self.latents),
                "checkpoint": str(self.root / "vae.safetensors"),
                "shard_size": 4,
            },
        } | changes

    def experiment(self, **changes) -> sat_config.Experiment:
        return sat_config.decode(self.document(**changes))

    def preencode(self, *, stop=lambda: False, **changes) -> PreencodeResult:
        reporter = Reporter(Console(file=self.said, soft_wrap=True))
        return preencode(self.experiment(**changes), reporter=reporter, stop=stop)

    def files(self, *, named: str = "*") -> dict[str, bytes]:
        """What the latent folder holds, hidden files too, locks aside."""
        return {
            path.relative_to(self.latents).as_posix(): path.read_bytes()
            for path in sorted(self.latents.rglob(named))
            if path.is_file() and path.parent.name != ".locks"
        }

    def stored(self, folder: Path | None = None) -> dict[str, bytes]:
        """The latents by the id of their item, as the manifest says where they are."""
        folder = folder or self.latents
        return {e.id: stored_values(folder, e) for e in read_folder(folder)[1]}

    def arrays(self, folder: str = "latents") -> dict[str, np.ndarray]:
        """The same as arrays."""
        stored = self.stored(self.root / folder)
        return {name: np.load(BytesIO(content)) for name, content in stored.items()}

    def metadata(self, folder: str = "latents") -> dict[str, dict]:
        """What is said of each item, by its id."""
        root = self.root / folder
        return {e.id: json.loads(stored_metadata(root, e)) for e in read_folder(root)[1]}

    def read(self, path: Path) -> np.ndarray:
        """An audio file, as (time, channels)."""
        return soundfile.read(path, dtype="float32", always_2d=True)[0]

    def manifest(self) -> list[dict]:
        """The lines of the folder's list of items."""
        text = (self.latents / "manifest.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def with_table(self, **changes) -> dict:
        return {"preencode": self.document()["preencode"] | changes}


@pytest.fixture
def empty_world(tmp_path):
    """A checkpoint and no audio yet."""
    world = World(tmp_path)
    autoencoder = build_model(world.experiment())
    save_checkpoint(tmp_path / "vae.safetensors", autoencoder, config="{}")
    return world


@pytest.fixture
def world(empty_world):
    """Three clips, nine items: 4 + 4 + 1, the last of each of the first two padded."""
    empty_world.add_clip("a.wav", 3 * SIZE + 100)
    empty_world.add_clip("b/c.flac", 3 * SIZE + 70)
    empty_world.add_clip("d.wav", 50)
    return empty_world


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("SAT_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def encodes(monkeypatch):
    """The ids of each batch that goes through an encoder."""
    batches = []
    original = Encoder.features

    def counting(self, audio, *, ids):
        batches.append(list(ids))
        return original(self, audio, ids=ids)

    monkeypatch.setattr(Encoder, "features", counting)
    return batches
