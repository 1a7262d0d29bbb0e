"""The U-Net of audio-diffusion-pytorch 0.0.94 (Schneider 2023, 2301.13267), as SAT has it."""

import math
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from sat_models.backbones.adp_blocks import Patcher, Unpatcher
from sat_models.backbones.adp_levels import (
    Conditions,
    DownLevel,
    Middle,
    Sizes,
    Steering,
    UpLevel,
    join,
    mapping_features,
)
from sat_models.backbones.adp_stft import STFT


class TimeFeatures(nn.Module):
    """A time, and sines and cosines of it at learned frequencies."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.randn(features // 2))

    def forward(self, t: Float[Tensor, " b"]) -> Float[Tensor, "b f"]:
        """The time, sines, then cosines; arithmetic in float32, dtype of the weights."""
        angles = (2 * math.pi) * t.float()[:, None] * self.weights.float()
        parts = (t.float()[:, None], angles.sin(), angles.cos())
        return torch.cat(parts, dim=-1).to(self.weights.dtype)


def time_embedding(features: int, out_features: int) -> nn.Sequential:
    """From a time in [0, 1] to a vector."""
    return nn.Sequential(
        nn.Sequential(TimeFeatures(features), nn.Linear(features + 1, out_features)), nn.GELU()
    )


class FixedEmbedding(nn.Module):
    """Learned tokens that stand for no condition."""

    def __init__(self, max_length: int, features: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(max_length, features)

    def forward(self, tokens: Float[Tensor, "b k f"]) -> Float[Tensor, "k f"]:
        """As many as there are `tokens`.

        Raises:
            ValueError: There are more than it has.
        """
        have = self.embedding.num_embeddings
        if tokens.shape[1] > have:
            raise ValueError(f"expected at most {have} tokens to attend to, got {tokens.shape[1]}")
        return self.embedding.weight[: tokens.shape[1]]


class UNet(nn.Module):
    """A U-Net with skip connections from every block (Ronneberger et al. 2015, 1505.04597).

    Deviations from SAT: a condition in channels is stretched to the length of the level that it
    joins, in every variant; a length that does not fit is refused by name.

    Where there are learned tokens, they take the place of tokens that are all zero, which is what
    is left of a condition that was dropped.
    """

    to_time: nn.Module | None
    to_features: nn.Module | None

    def __init__(
        self,
        sizes: Sizes,
        *,
        conditions: Conditions,
        stft: STFT | None,
        max_tokens: int | None,
        time_token: bool,
    ) -> None:
        """Create the layers.

        Args:
            sizes: Of the network.
            conditions: What steers it.
            stft: A transform to work on, if any.
            max_tokens: Most tokens to attend to, and how many learned ones stand for none of them;
                None without any.
            time_token: Whether the timestep is one more token.
        """
        super().__init__()
        self.sizes, self.conditions, self.stft = sizes, conditions, stft
        self.frame_multiple = 1 if stft is not None else sizes.length_multiple
        self._make_mapping(conditions, sizes.mapping_features)
        self._make_tokens(conditions, max_tokens=max_tokens, time_token=time_token)
        inside = sizes, conditions
        if stft is not None:
            inside = _per_bin(sizes, conditions, stft.channels_per_channel)
        self._make_levels(*inside)

    def forward(
        self,
        x: Float[Tensor, "b d l"],
        t: Float[Tensor, " b"],
        *,
        features: Float[Tensor, "b f"] | None = None,
        channels: Float[Tensor, "b c n"] | None = None,
        embedding: Float[Tensor, "b k e"] | None = None,
        embedding_mask: Bool[Tensor, "b k"] | None = None,
    ) -> Float[Tensor, "b d2 l"]:
        """Predict from a noisy signal; computed, and returned, in the dtype of the weights.

        Each condition is there exactly if the network was made for it, and of that dtype.

        Args:
            x: The signal with noise.
            t: How much noise, in [0, 1]; 1 is noise alone.
            features: A vector that modulates.
            channels: A signal of any length that joins the input or a level.
            embedding: Tokens to attend to.
            embedding_mask: False for padding among them.

        Raises:
            ValueError: The length does not fit, or a condition is missing or one too many.
        """
        self._check(x, features=features, channels=channels, embedding=embedding)
        x = x.to(self.to_in.dtype)
        by = Steering(
            mapping=self._mapping(t, features),
            embedding=self._tokens(embedding, t=t),
            embedding_mask=self._token_mask(embedding_mask),
        )
        if self.stft is None:
            return self._run(x, by, channels)
        multiple, samples = self.sizes.length_multiple, x.shape[-1]
        if channels is not None and self.conditions.transform:
            channels = F.interpolate(channels, samples, mode="nearest")
            channels = self.stft.encode(channels, multiple=multiple)
        frames = self._run(self.stft.encode(x, multiple=multiple), by, channels)
        return self.stft.decode(frames, samples=samples)

    def _make_mapping(self, conditions: Conditions, width: int) -> None:
        self.to_time = self.to_features = None
        if conditions.time is not None:
            self.to_time = time_embedding(conditions.time, width)
        if conditions.features is not None:
            self.to_features = nn.Sequential(nn.Linear(conditions.features, width), nn.GELU())
        if self.to_time is not None or self.to_features is not None:
            self.to_mapping = nn.Sequential(
                nn.Linear(width, width), nn.GELU(), nn.Linear(width, width), nn.GELU()
            )

    def _make_tokens(
        self, conditions: Conditions, *, max_tokens: int | None, time_token: bool
    ) -> None:
        self.fixed_embedding: FixedEmbedding | None = None
        self.to_time_embedding: nn.Module | None = None
        if max_tokens is None or conditions.embedding is None:
            return
        self.fixed_embedding = FixedEmbedding(max_tokens + time_token, conditions.embedding)
        if time_token and conditions.time is not None:
            self.to_time_embedding = time_embedding(conditions.time, conditions.embedding)

    def _make_levels(self, sizes: Sizes, conditions: Conditions) -> None:
        mapping = mapping_features(sizes, conditions)
        joining = conditions.channels if conditions.level == 0 else 0
        self.to_in = Patcher(
            sizes.in_channels + joining,
            sizes.widths[0],
            patch_size=sizes.patch_size,
            mapping_features=mapping,
        )
        levels = range(len(sizes.factors))
        self.downsamples = nn.ModuleList(
            DownLevel(index, sizes=sizes, conditions=conditions) for index in levels
        )
        self.bottleneck = Middle(sizes=sizes, conditions=conditions)
        self.upsamples = nn.ModuleList(
            UpLevel(index, sizes=sizes, conditions=conditions) for index in reversed(levels)
        )
        self.to_out = Unpatcher(
            sizes.widths[0],
            sizes.out_channels,
            patch_size=sizes.patch_size,
            mapping_features=mapping,
        )

    def _check(
        self,
        x: Tensor,
        *,
        features: Tensor | None,
        channels: Tensor | None,
        embedding: Tensor | None,
    ) -> None:
        if x.shape[-1] % self.frame_multiple:
            raise ValueError(
                f"expected a multiple of {self.frame_multiple} frames (patch size times"
                f" factors), got {x.shape[-1]}"
            )
        wanted = self.conditions
        for name, found, want in (
            ("features", features, wanted.features is not None),
            ("channels", channels, wanted.channels > 0),
            ("embedding", embedding, wanted.embedding is not None),
        ):
            if (found is not None) != want:
                raise ValueError(f"{name}: the U-Net was made {'with' if want else 'without'} them")

    def _mapping(self, t: Tensor, features: Tensor | None) -> Tensor | None:
        parts = [] if self.to_time is None else [self.to_time(t)]
        if self.to_features is not None:
            parts.append(self.to_features(features))
        if not parts:
            return None
        mapping: Tensor = self.to_mapping(sum(parts))
        return mapping

    def _tokens(self, embedding: Tensor | None, *, t: Tensor) -> Tensor | None:
        if embedding is None or self.fixed_embedding is None:
            return embedding
        empty = (embedding == 0).all(dim=-1)  # b k
        if self.to_time_embedding is not None:
            time = self.to_time_embedding(t)[:, None].to(embedding.dtype)
            embedding = torch.cat((embedding, time), dim=1)
            empty = torch.cat((empty, empty.all(dim=1, keepdim=True)), dim=1)
        return torch.where(empty[..., None], self.fixed_embedding(embedding), embedding)

    def _token_mask(self, mask: Tensor | None) -> Tensor | None:
        if mask is None or self.to_time_embedding is None:
            return mask
        return F.pad(mask, (0, 1), value=1)

    def _run(self, x: Tensor, by: Steering, channels: Tensor | None) -> Tensor:
        level = self.conditions.level
        x = self.to_in(join(x, channels if level == 0 else None), by.mapping)
        before, skips = x, []
        for index, down in enumerate(self.downsamples, start=1):
            x, of_level = down(x, by, channels if level == index else None)
            skips.append(of_level)
        x = self.bottleneck(x, by)
        for up, of_level in zip(self.upsamples, reversed(skips), strict=True):
            x = up(x, by, of_level)
        prediction: Tensor = self.to_out(x + before, by.mapping)
        return prediction


def _per_bin(sizes: Sizes, conditions: Conditions, per_channel: int) -> tuple[Sizes, Conditions]:
    """Sizes of the network inside an STFT, which makes one channel into several."""
    transformed = conditions.transform and conditions.level == 0
    return (
        replace(
            sizes,
            in_channels=sizes.in_channels * per_channel,
            out_channels=sizes.out_channels * per_channel,
        ),
        replace(conditions, channels=conditions.channels * (per_channel if transformed else 1)),
    )
