"""Clusters of vectors, for the start of codebooks, alone or over several processes."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, distributed
from torch.nn import functional

_LEAST_SQUARE = 1e-12  # the gradient of a root is infinite at zero


def across_processes() -> bool:
    """Whether this is one of several processes that train together."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return False
    return distributed.get_world_size() > 1


def sum_over(x: Float[Tensor, "*b"], *, synced: bool) -> Float[Tensor, "*b"]:
    """The sum over all processes, or `x` itself."""
    if synced:
        distributed.all_reduce(x)
    return x


def distances(x: Float[Tensor, "*b d"], y: Float[Tensor, "k d"]) -> Float[Tensor, "*b k"]:
    """Euclidean distances between all vectors of `x` and all of `y`."""
    squares = x.square().sum(-1)[..., None] + y.square().sum(-1) - 2 * x @ y.T
    return squares.clamp(min=_LEAST_SQUARE).sqrt()


def draw_vectors(
    samples: Float[Tensor, "n d"], *, num_vectors: int, synced: bool
) -> Float[Tensor, "k d"]:
    """Some of the samples at random; none twice, if there are enough.

    Args:
        samples: Where to draw from.
        num_vectors: How many.
        synced: Whether all processes get the same vectors, an equal share from each of them.
    """
    count, device = samples.shape[0], samples.device
    if count >= num_vectors:
        chosen = torch.randperm(count, device=device)[:num_vectors]
    else:
        chosen = torch.randint(0, count, (num_vectors,), device=device)
    drawn = samples[chosen]
    if not synced:
        return drawn
    world = distributed.get_world_size()
    gathered = [torch.empty_like(drawn) for _ in range(world)]
    distributed.all_gather(gathered, drawn.contiguous())
    owner = torch.arange(num_vectors, device=device) % world
    return torch.stack(gathered)[owner, torch.arange(num_vectors, device=device)]


@torch.no_grad()
def cluster(
    samples: Float[Tensor, "n d"], *, num_clusters: int, iterations: int, cosine: bool, synced: bool
) -> tuple[Float[Tensor, "k d"], Float[Tensor, " k"]]:
    """Find clusters by k-means.

    Args:
        samples: What to cluster.
        num_clusters: How many; one that nothing is nearest to stays where it started.
        iterations: Rounds of assigning and averaging.
        cosine: Whether to compare directions, of vectors of length one.
        synced: Whether to cluster the samples of all processes.

    Returns:
        The means, and how many samples were nearest to each before the last averaging.
    """
    means = draw_vectors(samples, num_vectors=num_clusters, synced=synced)
    counts = samples.new_zeros(num_clusters)
    for _ in range(iterations):
        scores = samples @ means.T if cosine else -distances(samples, means)
        nearest: Int[Tensor, " n"] = scores.argmax(dim=-1)
        ones = samples.new_ones(len(samples))
        counts = sum_over(
            samples.new_zeros(num_clusters).index_add_(0, nearest, ones), synced=synced
        )
        sums = sum_over(torch.zeros_like(means).index_add_(0, nearest, samples), synced=synced)
        averages = sums / counts.clamp(min=1)[:, None]
        if cosine:
            averages = functional.normalize(averages, dim=-1)
        means = torch.where(counts[:, None] > 0, averages, means)
    return means, counts
