"""A codebook that follows the data, or is learned (van den Oord et al. 2017, 1711.00937)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from sat_models.bottlenecks.clusters import (
    across_processes,
    cluster,
    distances,
    draw_vectors,
    sum_over,
)
from sat_models.bottlenecks.straight_through import straight_through

_MIN_VARIANCE = 1e-5
_LEAST = 1e-20


@dataclass(frozen=True)
class Sampling:
    """How entries are chosen in training.

    Attributes:
        stochastic: Draw by score, with Gumbel noise, in place of taking the best.
        temperature: Of that draw; 0 takes the best all the same.
        straight_through: Let gradients flow to the scores.
        reinmax: By the more exact estimate of Liu et al. 2023 (2304.08612).
    """

    stochastic: bool
    temperature: float
    straight_through: bool
    reinmax: bool


@dataclass(frozen=True)
class Syncing:
    """What processes that train together share.

    Attributes:
        codebook: Averages; None shares them where there are several processes.
        start: Clusters at the start of training.
        replacements: Vectors that replace unused entries.
        statistics: Statistics of the affine map.
    """

    codebook: bool | None
    start: bool
    replacements: bool
    statistics: bool


@dataclass(frozen=True)
class CodebookOptions:
    """A codebook.

    Attributes:
        channels: Channels of an entry.
        size: Entries.
        cosine: Compare directions, of vectors of length one, in place of distances.
        cluster_iterations: Rounds of clustering the first batch for a start; None starts at random.
        decay: Share of the averages that is kept at each step.
        eps: Added to counts before they divide.
        follow: Whether entries follow the averages of what is nearest to them.
        learn: Whether entries are trained by gradient.
        dead_threshold: Entries whose average count is below are replaced; 0 replaces none.
        affine_decays: Shares of the statistics of latents and of entries that are kept at each
            step, where entries are shifted and scaled to the latents' statistics.
        sampling: How entries are chosen in training.
        syncing: What processes share.
    """

    channels: int
    size: int
    cosine: bool
    cluster_iterations: int | None
    decay: float
    eps: float
    follow: bool
    learn: bool
    dead_threshold: int
    affine_decays: tuple[float, float] | None
    sampling: Sampling
    syncing: Syncing


@dataclass(frozen=True)
class Found:
    """What a codebook has for some vectors.

    Attributes:
        entries: The chosen entries.
        tokens: Their numbers.
        scores: Of all entries, higher is nearer: minus the distance, or the cosine.
    """

    entries: Float[Tensor, "b l d"]
    tokens: Int[Tensor, "b l"]
    scores: Float[Tensor, "b l k"]


class Codebook(nn.Module):
    """Entries, and the averages that they follow.

    Names of the state dict are those of vector-quantize-pytorch 1.14.41, whose numbers this was
    checked against (MIT). The leading axis of one is its axis of heads. All is done in float32.

    Deviations from it: outside of training nothing changes, not even codebooks that have no start
    yet; the statistics of the affine map are in the state dict before the first step as well;
    whether there are several processes is seen when it matters, not when the module is made.
    """

    initted: Tensor
    cluster_size: Tensor
    embed_avg: Tensor
    embed: Tensor
    codebook_mean_needs_init: Tensor
    codebook_variance_needs_init: Tensor
    codebook_mean: Tensor
    codebook_variance: Tensor
    batch_mean: Tensor
    batch_variance: Tensor

    def __init__(self, options: CodebookOptions) -> None:
        super().__init__()
        self.options = options
        self.register_buffer("initted", torch.tensor([float(options.cluster_iterations is None)]))
        self.register_buffer("cluster_size", torch.zeros(1, options.size))
        entries = torch.zeros(1, options.size, options.channels)
        if options.cluster_iterations is None:
            nn.init.kaiming_uniform_(entries)
            entries = self.prepare(entries)
        self.register_buffer("embed_avg", entries.clone())
        if options.learn:
            self.embed = nn.Parameter(entries)
        else:
            self.register_buffer("embed", entries)
        if options.affine_decays is not None:
            self._register_statistics()

    def prepare(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Bring vectors to length one, where directions are compared."""
        return functional.normalize(x, dim=-1) if self.options.cosine else x

    def forward(self, x: Float[Tensor, "b l d"]) -> Found:
        """Choose entries for vectors that `prepare` has seen; in training, move entries to them."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            if self.training:
                self._start(x.detach())
                self._measure(x.detach())
            entries = self._entries()
            scores = x @ entries.T if self.options.cosine else -distances(x, entries)
            tokens, one_hot = self._choose(scores)
            found = Found(one_hot @ entries if self.training else entries[tokens], tokens, scores)
            if self.training and self.options.follow:
                self._follow(x.detach(), one_hot.detach())
            return found

    def lookup(self, tokens: Int[Tensor, "b l"]) -> Float[Tensor, "b l d"]:
        """The entries of some numbers."""
        return self._entries()[tokens]

    def _entries(self) -> Float[Tensor, "k d"]:
        """The entries as they are compared; a copy, because following changes them in place."""
        entries = (self.embed if self.options.learn else self.embed.detach())[0].float()
        entries = entries.clone() if self.training else entries
        if self.options.affine_decays is None:
            return entries
        return (entries - self.codebook_mean[0]) * self._affine_scale() + self.batch_mean[0]

    def _choose(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Numbers of entries, and the same as vectors of zeros and a one."""
        sampling = self.options.sampling
        drawn = self.training and sampling.temperature > 0
        noisy = scores
        if drawn and sampling.stochastic:
            uniform = torch.rand_like(scores).clamp(min=_LEAST)
            noisy = scores / sampling.temperature - (-uniform.log()).clamp(min=_LEAST).log()
        tokens = noisy.argmax(dim=-1)
        one_hot = functional.one_hot(tokens, scores.shape[-1]).to(scores.dtype)
        if drawn and sampling.straight_through:
            one_hot = straight_through(self._soft(scores, one_hot), one_hot)
        return tokens, one_hot

    def _soft(self, scores: Tensor, one_hot: Tensor) -> Tensor:
        """What the gradient of a choice is taken from."""
        soft = (scores / self.options.sampling.temperature).softmax(dim=-1)
        if not self.options.sampling.reinmax:
            return soft
        middle = ((one_hot + soft) / 2).clamp(min=_LEAST).log()
        middle = straight_through(scores, middle).softmax(dim=-1)
        return 2 * middle - 0.5 * scores.softmax(dim=-1)

    @torch.no_grad()
    def _start(self, x: Float[Tensor, "b l d"]) -> None:
        """Cluster the first batch of training."""
        options = self.options
        if options.cluster_iterations is None or self.initted.item():
            return
        means, counts = cluster(
            x.flatten(0, -2),
            num_clusters=options.size,
            iterations=options.cluster_iterations,
            cosine=options.cosine,
            synced=options.syncing.start and self._synced(),
        )
        self.embed.data.copy_(means[None])
        self.embed_avg.copy_(means * counts[:, None])
        self.cluster_size.copy_(counts[None])
        self.initted.fill_(1.0)

    @torch.no_grad()
    def _follow(self, x: Float[Tensor, "b l d"], one_hot: Float[Tensor, "b l k"]) -> None:
        """Move the averages towards what was nearest, and the entries to the averages."""
        options = self.options
        vectors, one_hot = x.flatten(0, -2), one_hot.flatten(0, -2)
        if options.affine_decays is not None:  # back to where the entries are
            vectors = (vectors - self.batch_mean[0]) / self._affine_scale() + self.codebook_mean[0]
        synced = self._synced()
        counts = sum_over(one_hot.sum(dim=0), synced=synced)
        sums = sum_over(one_hot.T @ vectors, synced=synced)
        self.cluster_size.lerp_(counts[None].to(self.cluster_size), 1 - options.decay)
        self.embed_avg.lerp_(sums[None].to(self.embed_avg), 1 - options.decay)
        total = self.cluster_size.sum()
        smoothed = (self.cluster_size + options.eps) / (total + options.size * options.eps) * total
        self.embed.data.copy_(self.prepare(self.embed_avg / smoothed[..., None]))
        self._replace_dead(x.flatten(0, -2), synced=synced)

    def _replace_dead(self, vectors: Float[Tensor, "n d"], *, synced: bool) -> None:
        threshold = self.options.dead_threshold
        dead = self.cluster_size[0] < threshold
        count = int(dead.sum())
        if not count:
            return
        syncing = self.options.syncing
        synced = synced and syncing.start and syncing.replacements
        drawn = draw_vectors(vectors, num_vectors=count, synced=synced).to(self.embed)
        self.embed.data[0, dead] = drawn
        self.embed_avg[0, dead] = drawn * threshold
        self.cluster_size[0, dead] = float(threshold)

    def _register_statistics(self) -> None:
        zeros = torch.zeros(1, 1, self.options.channels)
        for name in ("batch", "codebook"):
            self.register_buffer(f"{name}_mean", zeros.clone())
            self.register_buffer(f"{name}_variance", zeros + 1)
        self.register_buffer("codebook_mean_needs_init", torch.ones(1))
        self.register_buffer("codebook_variance_needs_init", torch.ones(1))

    @torch.no_grad()
    def _measure(self, x: Float[Tensor, "b l d"]) -> None:
        """Follow mean and variance of latents and entries, for the affine map."""
        if self.options.affine_decays is None:
            return
        of_latents, of_entries = self.options.affine_decays
        synced = self.options.syncing.statistics and across_processes()
        first = bool(self.codebook_mean_needs_init.item())
        batch = _moments(x.flatten(0, -2), synced=synced)
        entries = _moments(self.embed[0].detach(), synced=False)
        for name, values, decay in (
            ("batch", batch, of_latents),
            ("codebook", entries, of_entries),
        ):
            for kind, value in zip(("mean", "variance"), values, strict=True):
                kept: Tensor = getattr(self, f"{name}_{kind}")
                kept.lerp_(value[None].to(kept), 1.0 if first else 1 - decay)
        self.codebook_mean_needs_init.zero_()
        self.codebook_variance_needs_init.zero_()

    def _affine_scale(self) -> Float[Tensor, "1 d"]:
        of_latents = self.batch_variance[0].clamp(min=_MIN_VARIANCE)
        return (of_latents / self.codebook_variance[0].clamp(min=_MIN_VARIANCE)).sqrt()

    def _synced(self) -> bool:
        return self.options.syncing.codebook is not False and across_processes()


def _moments(
    x: Float[Tensor, "n d"], *, synced: bool
) -> tuple[Float[Tensor, "1 d"], Float[Tensor, "1 d"]]:
    """Mean and variance over all vectors."""
    count = sum_over(x.new_tensor(float(len(x))), synced=synced)
    mean = sum_over(x.sum(dim=0, keepdim=True), synced=synced) / count
    variance = sum_over((x - mean).square().sum(dim=0, keepdim=True), synced=synced) / count
    return mean, variance
