"""Residual vector quantization as a bottleneck, of latents or of draws from a Gaussian."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sat_config.audio.bottleneck import RVQConfig, RVQNode, RVQVAENode
from sat_models.bottlenecks.base import DiscreteBottleneck, Encoding, build_bottleneck
from sat_models.bottlenecks.codebook import CodebookOptions, Sampling, Syncing
from sat_models.bottlenecks.residual_vq import LossOptions, ResidualVQ
from sat_models.bottlenecks.vae import sample_gaussian


class RVQBottleneck(DiscreteBottleneck):
    """Latents as sums of entries of codebooks that follow the data.

    Outside of training the loss "quantizer_loss" is 0, and no gradient reaches the features, as in
    SAT. With `gaussian`, latents are drawn first, as
    by the bottleneck of a variational autoencoder, which adds the loss "kl".

    Deviations from SAT: codes are laid out as everywhere else, and can be decoded;
    `freeze_codebook` has the effect that its name says, and so has `requires_grad`, for codebooks
    too that have no gradient.
    """

    def __init__(self, quantizer: ResidualVQ, *, codebook_size: int, gaussian: bool) -> None:
        """Wrap a quantizer.

        Args:
            quantizer: The codebooks.
            codebook_size: Entries of each.
            gaussian: Whether latents are drawn from a Gaussian before they are quantized.
        """
        super().__init__()
        self.quantizer = quantizer
        self.num_quantizers = len(quantizer.layers)
        self.codebook_size = codebook_size
        self.gaussian = gaussian

    def encode(
        self,
        features: Float[Tensor, "b d2 l"],
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Encoding:
        """Quantize the features, or a draw from what they describe."""
        losses = {}
        latents = features
        if self.gaussian:
            latents, losses["kl"] = sample_gaussian(features, sample=sample, generator=generator)
        latents, tokens, losses["quantizer_loss"] = self.quantizer(latents, generator=generator)
        return Encoding(latents=latents, losses=losses, tokens=tokens)

    def decode(
        self, latents: Float[Tensor, "b d l"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b d l"]:
        """Hand the latents on."""
        return latents

    def tokens_to_latents(self, tokens: Int[Tensor, "b q l"]) -> Float[Tensor, "b d l"]:
        """The sums of entries that codes stand for."""
        return self.quantizer.lookup(tokens)


def _codebook(config: RVQConfig, *, trained: bool) -> CodebookOptions:
    decays = (config.affine_param_batch_decay, config.affine_param_codebook_decay)
    return CodebookOptions(
        channels=config.codebook_dim or config.dim,
        size=config.codebook_size,
        cosine=config.use_cosine_sim,
        cluster_iterations=config.kmeans_iters if config.kmeans_init else None,
        decay=config.decay,
        eps=config.eps,
        follow=config.ema_update and trained and not config.freeze_codebook,
        learn=config.learnable_codebook or config.orthogonal_reg_weight > 0,
        dead_threshold=config.threshold_ema_dead_code,
        affine_decays=decays if config.affine_param else None,
        sampling=Sampling(
            stochastic=config.stochastic_sample_codes,
            temperature=config.sample_codebook_temp,
            straight_through=config.straight_through,
            reinmax=config.reinmax,
        ),
        syncing=Syncing(
            codebook=config.sync_codebook,
            start=config.sync_kmeans,
            replacements=config.distributed_replace_codes,
            statistics=config.sync_affine_param,
        ),
    )


def _losses(config: RVQConfig) -> LossOptions:
    return LossOptions(
        commitment=config.commitment_weight,
        cross_entropy=config.commitment_use_cross_entropy_loss,
        orthogonal=config.orthogonal_reg_weight,
        orthogonal_used_only=config.orthogonal_reg_active_codes_only,
        orthogonal_max=config.orthogonal_reg_max_codes,
        diversity=config.codebook_diversity_loss_weight,
        diversity_temperature=config.codebook_diversity_temperature,
        trains_codebook=config.learnable_codebook and not config.freeze_codebook,
        lookahead=config.sync_update_v,
    )


def _build(node: RVQNode | RVQVAENode, *, gaussian: bool) -> RVQBottleneck:
    config = node.config
    quantizer = ResidualVQ(
        config.dim,
        num_quantizers=config.num_quantizers,
        codebook=_codebook(config, trained=node.requires_grad),
        losses=_losses(config),
        shared=config.shared_codebook,
        dropout_from=config.quantize_dropout_cutoff_index if config.quantize_dropout else None,
        dropout_group=config.quantize_dropout_multiple_of,
    )
    return RVQBottleneck(quantizer, codebook_size=config.codebook_size, gaussian=gaussian)


@build_bottleneck.register
def _(node: RVQNode) -> RVQBottleneck:
    return _build(node, gaussian=False)


@build_bottleneck.register
def _(node: RVQVAENode) -> RVQBottleneck:
    return _build(node, gaussian=True)
