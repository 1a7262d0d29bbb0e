"""What the bytes of a latent depend on, and what a latent folder says about itself.

Two runs may share a folder only if their `Settings` are equal. Batch size, device and the places of
files are left out on purpose: they may change between a run and its continuation. Another batch
size or number of CPU threads moves latents by rounding errors; another kind of device does so too,
and draws other noise.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from sat_config.audio.autoencoder import AutoencoderConfig
from sat_config.node import Node
from sat_models.data.latent_details import FORMAT, VERSION
from sat_preencode.containers import Layout

Table = dict[str, Any]


class Settings(Node, kw_only=True):
    """Everything that decides what latents come out; never a path.

    Attributes:
        autoencoder_fingerprint: Of the weights, by `sat_models.checkpoint.fingerprint`.
        sample_rate: Hz of the audio that goes in.
        sample_size: Samples per item, or per window of whole files.
        whole_files: Whether an item is a whole file.
        window_overlap: Latent frames that neighbouring windows of whole files share.
        channels: Audio channels.
        tokens: Whether codes are kept rather than latents.
        latent: Whether a Gaussian latent is sampled, or its mean is kept, or mean and scale.
        seed: Seeds the samples; None where nothing is sampled.
        arithmetic: Number format that the encoder computes in.
        dtype: Number format of what is stored.
        encoder: The nodes between audio and latents, as JSON: pretransform, encoder, bottleneck.
    """

    autoencoder_fingerprint: str
    sample_rate: int
    sample_size: int
    whole_files: bool
    window_overlap: int | None
    channels: int
    tokens: bool
    latent: Literal["sample", "mean", "mean_scale"]
    seed: int | None
    arithmetic: str
    dtype: str
    encoder: Table

    @property
    def fingerprint(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of these settings as JSON with sorted keys."""
        text = msgspec.json.encode(self, order="deterministic")
        return hashlib.sha256(text).hexdigest()[:16]

    def differences(self, other: "Settings") -> list[str]:
        """One line per value that `other` has differently: its path, the other's value, ours."""
        ours, theirs = self._leaves(), other._leaves()
        return [
            f"{path}: {_shown(theirs.get(path))} there, {_shown(ours.get(path))} now"
            for path in sorted(ours.keys() | theirs.keys())
            if ours.get(path) != theirs.get(path)
        ]

    def _leaves(self) -> Table:
        return dict(_leaves(msgspec.to_builtins(self)))


class Details(Node, kw_only=True):
    """The content of `details.json`: where the latents of a folder come from.

    Attributes:
        format: Always "sat-latents".
        version: Version of the folder's layout.
        config: The resolved experiment, whole.
        checkpoint: The checkpoint, as the experiment names it.
        autoencoder_fingerprint: Of the weights.
        settings_fingerprint: Of `settings`.
        sample_rate: Hz of the audio that was encoded.
        hop_length: Samples per latent frame.
        latent_dim: Channels of the latents; of codes, quantizers.
        latent: What is kept of a Gaussian latent; with "mean_scale", twice the channels are stored,
            means before scales.
        dtype: Number format of what is stored; bfloat16 as its bits in uint16.
        sample_size: Samples per item; None where items are whole files.
        layout: What the latents lie in: tar files ("wds") or SAT's folders ("sat").
        settings: What a continuation must agree with.
        model_config: As in SAT's file, but the content itself: the model's part of the experiment.
        dataset_config: As in SAT's file, but the content itself: the experiment's dataset.
        args: As in SAT's file: how the command was told to encode.
    """

    format: str = FORMAT
    version: int = VERSION
    config: Table
    checkpoint: str
    autoencoder_fingerprint: str
    settings_fingerprint: str
    sample_rate: int
    hop_length: int
    latent_dim: int
    latent: str
    dtype: str
    sample_size: int | None
    layout: Layout
    settings: Settings
    model_config: Table
    dataset_config: Table
    args: Table

    def differences(self, other: "Details") -> list[str]:
        """One line per value that keeps two folders from being one, as `Settings` has them."""
        found = self.settings.differences(other.settings)
        if self.layout != other.layout:
            found.append(f"format: {_shown(other.layout)} there, {_shown(self.layout)} now")
        return found

    @property
    def stored_channels(self) -> int:
        """Channels of what is stored."""
        both = self.latent == "mean_scale" and not self.settings.tokens
        return self.latent_dim * (2 if both else 1)


def encoder_table(node: AutoencoderConfig) -> Table:
    """The parts of an autoencoder's node that lie between audio and latents, as plain tables."""
    table: Table = msgspec.json.decode(msgspec.json.encode(node))
    return {key: table[key] for key in ("pretransform", "encoder", "bottleneck")}


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _shown(value: object) -> str:
    return "nothing" if value is None else msgspec.json.encode(value).decode()
