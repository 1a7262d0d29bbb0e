"""The diffusion transformer, DiT (Peebles and Xie 2023, 2212.09748), as in Stable Audio.

Stable Audio: Evans et al. 2024, 2404.10301.
"""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from sat_config.audio.diffusion import DiTUncondNode
from sat_models.backbones.base import Backbone, build_backbone
from sat_models.layers.attention import SelfAttention
from sat_models.layers.feed_forward import FeedForward
from sat_models.layers.fourier import FourierFeatures
from sat_models.layers.norm import plain_layer_norm
from sat_models.layers.rotary import RotaryEmbedding
from sat_models.layers.transformer import ContinuousTransformer, TransformerBlock
from sat_models.layers.window import EVERYWHERE
from sat_models.models.objectives import Objective, build_objective

TIMESTEP_FEATURES = 256
HIDDEN_FACTOR = 4
MIN_ROTARY_WIDTH = 32
UNCONDITIONAL_INIT_SCALE = 0.5


class DiffusionTransformer(nn.Module):
    """Frames are tokens; the timestep is one more token, put before them.

    Unlike Peebles and Xie's, layers are not modulated by the timestep, and positions are rotary.
    Convolutions of one tap before and after start at zero and are added to what they act on.
    """

    def __init__(
        self, io_channels: int, *, width: int, depth: int, num_heads: int, patch_size: int
    ) -> None:
        """Create the layers.

        Args:
            io_channels: Channels of the signal, in and out.
            width: Features of a token.
            depth: Layers.
            num_heads: Attention heads.
            patch_size: Frames per token.

        Raises:
            ValueError: `num_heads` does not divide `width`, or leaves heads below 32 features.
        """
        super().__init__()
        head_width = width // num_heads
        if head_width < MIN_ROTARY_WIDTH:
            raise ValueError(
                f"a width of {width} leaves {head_width} features for each of {num_heads} heads;"
                f" rotary positions need {MIN_ROTARY_WIDTH}"
            )
        self.patch_size = patch_size
        self.timestep_features = FourierFeatures(TIMESTEP_FEATURES)
        self.to_timestep_embed = nn.Sequential(
            nn.Linear(TIMESTEP_FEATURES, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.transformer = ContinuousTransformer(
            io_channels * patch_size,
            io_channels * patch_size,
            width=width,
            layers=[_block(width, num_heads=num_heads) for _ in range(depth)],
            rotary=RotaryEmbedding(max(head_width // 2, MIN_ROTARY_WIDTH)),
        )
        self.preprocess_conv = _silent_conv(io_channels)
        self.postprocess_conv = _silent_conv(io_channels)

    def forward(self, x: Float[Tensor, "b d l"], t: Float[Tensor, " b"]) -> Float[Tensor, "b d l"]:
        """Predict from a noisy signal; computed, and returned, in the dtype of the weights.

        Raises:
            ValueError: The length of `x` is no multiple of the patch size.
        """
        if x.shape[-1] % self.patch_size:
            raise ValueError(
                f"expected a multiple of {self.patch_size} frames (the patch size), got"
                f" {x.shape[-1]}"
            )
        x = x.to(self.preprocess_conv.weight.dtype)
        x = x + self.preprocess_conv(x)
        tokens = rearrange(x, "b d (l p) -> b l (d p)", p=self.patch_size)
        timestep = self.to_timestep_embed(self.timestep_features(t))
        tokens = self.transformer(tokens, prepended=timestep[:, None])
        x = rearrange(tokens, "b l (d p) -> b d (l p)", p=self.patch_size)
        result: Tensor = x + self.postprocess_conv(x)
        return result


class UnconditionalDiT(Backbone):
    """A diffusion transformer that nothing steers.

    All its initial weights are halved, the gains of the norms too: SAT does so in unconditional
    models only.
    """

    def __init__(
        self, model: DiffusionTransformer, *, io_channels: int, objective: Objective
    ) -> None:
        super().__init__()
        self.model = model
        self.io_channels, self.objective = io_channels, objective
        self.frame_multiple = model.patch_size
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(UNCONDITIONAL_INIT_SCALE)

    def forward(self, x: Float[Tensor, "b d l"], t: Float[Tensor, " b"]) -> Float[Tensor, "b d l"]:
        """Predict from a noisy signal."""
        prediction: Tensor = self.model(x, t)
        return prediction


def _block(width: int, *, num_heads: int) -> TransformerBlock:
    return TransformerBlock(
        width,
        make_norm=plain_layer_norm,
        attention=SelfAttention(
            width,
            num_heads=num_heads,
            qk_norm="none",
            differential=False,
            feature_scale=False,
            zero_init=True,
            window=EVERYWHERE,
        ),
        cross_attention=None,
        conformer=None,
        feed_forward=FeedForward(
            width,
            hidden_width=HIDDEN_FACTOR * width,
            gated=True,
            bias=True,
            kernel_size=None,
            zero_init=True,
        ),
        rotary=None,
        layer_scale=False,
        modulated=False,
    )


def _silent_conv(channels: int) -> nn.Conv1d:
    conv = nn.Conv1d(channels, channels, 1, bias=False)
    nn.init.zeros_(conv.weight)
    return conv


@build_backbone.register
def _(node: DiTUncondNode) -> UnconditionalDiT:
    config = node.config
    model = DiffusionTransformer(
        config.in_channels,
        width=config.embed_dim,
        depth=config.depth,
        num_heads=config.num_heads,
        patch_size=config.patch_size,
    )
    return UnconditionalDiT(
        model,
        io_channels=config.in_channels,
        objective=build_objective(config.diffusion_objective),
    )
