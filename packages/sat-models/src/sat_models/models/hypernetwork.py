"""A small network that writes a part of another one's weights (Ha et al. 2016, 1609.09106)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat_models.layers.feed_forward import TokenConv
from sat_models.layers.spectral_norm import SpectralNorm, SpectralNormConvTranspose1d
from sat_models.layers.weight_norm import WeightNorm, WeightNormConvTranspose1d

_TRANSPOSED = (nn.ConvTranspose1d, WeightNormConvTranspose1d, SpectralNormConvTranspose1d)
_LAYERS = (nn.Linear, nn.Conv1d, nn.ConvTranspose1d, WeightNorm, SpectralNorm)


@dataclass(frozen=True)
class Factors:
    """The change of one layer's weight W: it becomes `W * (1 + sum_r u_r v_r)`, item by item.

    Attributes:
        u: Vectors over the channels that go out.
        v: Vectors over the channels that come in.
    """

    u: Float[Tensor, "b r o"]
    v: Float[Tensor, "b r i"]


class Hypernetwork(nn.Module):
    """Latents of whole items to changes of layers' weights.

    A summary of the latents and an embedding of the layer pass an MLP that all layers share, and
    one linear map per layer makes the factors. Between the two, features are scaled to a mean
    square of one, so that changes start as large as `init_scale` says whatever the latents' scale.

    Deviation from the paper: the weight is scaled by a matrix of low rank, not by its rows, and
    what is summarised is another signal, not the network's own state.
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        layer_widths: Sequence[tuple[int, int]],
        attend: bool,
        summary_dim: int,
        embedding_dim: int,
        hidden_sizes: Sequence[int],
        rank: int,
        init_scale: float,
    ) -> None:
        """Create the layers.

        Args:
            latent_dim: Channels of the latents.
            layer_widths: Channels in and out of each layer whose weight is changed.
            attend: Whether frames are weighted by attention with one learned query; else all
                count the same.
            summary_dim: Channels of the summary.
            embedding_dim: Channels of a layer's embedding.
            hidden_sizes: Widths of the MLP's hidden layers.
            rank: Pairs of vectors per layer.
            init_scale: Standard deviation of a weight's change at the start, relative to it.
        """
        super().__init__()
        self.rank = rank
        self.project = nn.Conv1d(latent_dim, summary_dim, 1)
        self.query = nn.Parameter(torch.zeros(summary_dim)) if attend else None
        self.embeddings = nn.Parameter(torch.randn(len(layer_widths), embedding_dim))
        self.mlp = nn.Sequential()
        width = summary_dim + embedding_dim
        for hidden in hidden_sizes:
            self.mlp.extend((nn.Linear(width, hidden), nn.SiLU()))
            width = hidden
        self.to_u, self.to_v = nn.ModuleList(), nn.ModuleList()
        for channels_in, channels_out in layer_widths:
            self.to_u.append(_head(width, rank * channels_out, scale=init_scale / math.sqrt(rank)))
            self.to_v.append(_head(width, rank * channels_in, scale=1.0))

    def forward(self, latents: Float[Tensor, "b d l"]) -> tuple[Factors, ...]:
        """The changes of every layer's weight."""
        summary = self.summarise(latents)
        changes = []
        for embedding, to_u, to_v in zip(self.embeddings, self.to_u, self.to_v, strict=True):
            repeated = embedding.expand(summary.shape[0], -1)
            features = self.mlp(torch.cat([summary, repeated], dim=1))
            features = features * features.square().mean(dim=1, keepdim=True).add(1e-6).rsqrt()
            u, v = (head(features).unflatten(1, (self.rank, -1)) for head in (to_u, to_v))
            changes.append(Factors(u=u, v=v))
        return tuple(changes)

    def summarise(self, latents: Float[Tensor, "b d l"]) -> Float[Tensor, "b e"]:
        """One vector for all frames."""
        frames: Tensor = self.project(latents)  # b e l
        if self.query is None:
            return frames.mean(dim=-1)
        scores = torch.einsum("bel,e->bl", frames, self.query) / math.sqrt(len(self.query))
        return torch.einsum("bel,bl->be", frames, scores.softmax(dim=-1))


class AdaptedLayer:
    """Hooks on a layer that apply a change of its weight, as long as there is one.

    The weight is never formed per item: `y = W x + sum_r u_r (W (v_r x))`, with all products with W
    in one call.
    """

    def __init__(self, layer: nn.Module) -> None:
        """Attach to a layer; it behaves as before until `factors` is set."""
        self.factors: Factors | None = None
        self.last_axis = isinstance(layer, nn.Linear | TokenConv)
        layer.register_forward_pre_hook(self._before)
        layer.register_forward_hook(self._after)

    def _before(self, layer: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        if self.factors is None:
            return inputs
        (x,) = inputs
        scaled = [x * self._along(x, v) for v in self.factors.v.unbind(dim=1)]
        return (torch.cat([x, *scaled]),)

    def _after(self, layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        if self.factors is None:
            return output
        rank = self.factors.u.shape[1]
        plain, *scaled = output.chunk(1 + rank)
        bias = getattr(layer, "bias", None)
        offset = 0 if bias is None else bias if self.last_axis else bias[:, None]
        for u, product in zip(self.factors.u.unbind(dim=1), scaled, strict=True):
            plain = plain + self._along(plain, u) * (product - offset)
        return plain

    def _along(self, x: Tensor, vectors: Float[Tensor, "b c"]) -> Tensor:
        """Vectors over channels, in the shape of `x`, whose items may be cut into several."""
        vectors = vectors.repeat_interleave(x.shape[0] // vectors.shape[0], dim=0).to(x.dtype)
        inner = [1] * (x.ndim - 2)
        if self.last_axis:
            return vectors.reshape(vectors.shape[0], *inner, -1)
        return vectors.reshape(*vectors.shape, *inner)


def find_layers(network: nn.Module) -> dict[str, nn.Module]:
    """All convolutions and linear layers, by name."""
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, _LAYERS)}


def find_upsampling(network: nn.Module) -> dict[str, nn.Module]:
    """The layers of a decoder that make more frames of fewer, by name.

    These are transposed convolutions; convolutions behind a repetition of frames; and maps to
    several frames' features, which attention decoders have.
    """
    repeated = set(_behind_repetition(network))
    return {
        name: layer
        for name, layer in find_layers(network).items()
        if isinstance(layer, _TRANSPOSED) or layer in repeated or name.endswith("project_up")
    }


def _behind_repetition(network: nn.Module) -> Iterator[nn.Module]:
    for module in network.modules():
        if isinstance(module, nn.Sequential) and len(module) == 2:
            first, second = module
            if hasattr(first, "stride") and not list(first.parameters()):
                yield second


def layer_widths(layer: nn.Module) -> tuple[int, int]:
    """Channels in and out of a layer that `find_layers` finds."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
        return layer.in_channels, layer.out_channels
    assert isinstance(layer, WeightNorm | SpectralNorm)  # noqa: S101 - there is nothing else
    first, second, _ = layer.kernel().shape
    return (first, second) if isinstance(layer, _TRANSPOSED) else (second, first)


def _head(width: int, size: int, *, scale: float) -> nn.Linear:
    head = nn.Linear(width, size)
    nn.init.normal_(head.weight, std=scale / math.sqrt(width))
    nn.init.zeros_(head.bias)
    return head
