"""The EnCodec codec (Défossez et al. 2022, 2210.13438), for use with published weights."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sat_models.decoders.seanet import SEANetDecoder
from sat_models.encoders.seanet import SEANetEncoder
from sat_models.layers.seanet import SEANetStyle

_SHORTER = {".conv.conv.": ".conv.", ".convtr.convtr.": ".conv."}


@dataclass(frozen=True)
class EncodecSizes:
    """Sizes of a codec.

    Attributes:
        sample_rate: Hz of the audio.
        channels: Channels of the audio.
        width: Channels next to the audio; each stage doubles them.
        strides: Factors by which the encoder shortens; the decoder has them in reverse.
        latent_dim: Channels of the latents.
        num_codebooks: Codes per frame.
        codebook_size: Different values of a code.
        lstm_layers: Layers of the LSTM next to the latents.
        causal: Whether convolutions see the past only.
        true_skip: Whether residual blocks are joined by the identity.
    """

    sample_rate: int
    channels: int
    width: int
    strides: Sequence[int]
    latent_dim: int
    num_codebooks: int
    codebook_size: int
    lstm_layers: int
    causal: bool
    true_skip: bool


class EncodecCodec(nn.Module):
    """Encoder, codebooks and decoder; its state dict has the names of transformers' EncodecModel.

    Checked against transformers (Apache 2.0), whose names the published files have. What training
    would need is left out.
    """

    def __init__(self, sizes: EncodecSizes) -> None:
        super().__init__()
        style = SEANetStyle(
            norm="weight_norm",
            norm_epsilon=1e-5,
            norm_affine=True,
            causal=sizes.causal,
            trim_right_ratio=1.0,
            pad_mode="reflect",
            make_activation=partial(nn.ELU, alpha=1.0),
            num_residual=1,
            residual_kernel_size=3,
            dilation_base=2,
            compress=2,
            true_skip=sizes.true_skip,
        )
        self.encoder = SEANetEncoder(
            sizes.channels,
            width=sizes.width,
            strides=sizes.strides,
            latent_dim=sizes.latent_dim,
            kernel_size=7,
            last_kernel_size=7,
            lstm_layers=sizes.lstm_layers,
            style=style,
        )
        self.quantizer = EncodecQuantizer(
            sizes.latent_dim,
            num_codebooks=sizes.num_codebooks,
            codebook_size=sizes.codebook_size,
        )
        self.decoder = SEANetDecoder(
            sizes.latent_dim,
            width=sizes.width,
            strides=tuple(reversed(sizes.strides)),
            out_channels=sizes.channels,
            kernel_size=7,
            last_kernel_size=7,
            lstm_layers=sizes.lstm_layers,
            final_activation=None,
            style=style,
        )
        self._register_state_dict_hook(_rename_saved)  # type: ignore[no-untyped-call]

    def published_names(self) -> Mapping[str, str]:
        """The published name of every entry of the state dict, by its name in this module."""
        own = [name for name, _ in (*self.named_parameters(), *self.named_buffers())]
        return {name: _published(name) for name in own}

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        *args: Any,  # noqa: ANN401 - torch's own signature, handed on
    ) -> None:
        for own, published in self.published_names().items():
            if prefix + published in state_dict:
                state_dict[prefix + own] = state_dict.pop(prefix + published)
        super()._load_from_state_dict(state_dict, prefix, *args)


class EncodecQuantizer(nn.Module):
    """Codebooks that each quantize what the ones before left over."""

    def __init__(self, channels: int, *, num_codebooks: int, codebook_size: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _Layer(_Codebook(channels, size=codebook_size)) for _ in range(num_codebooks)
        )

    def forward(self, x: Float[Tensor, "b d l"]) -> Int[Tensor, "b q l"]:
        """The codes of the nearest entries."""
        residual = x.transpose(1, 2)  # b l d
        tokens = []
        for layer in cast(Iterable[_Layer], self.layers):
            entries = layer.codebook.embed
            squares = entries.square().sum(dim=1)
            tokens.append((2 * residual @ entries.T - squares).argmax(dim=-1))
            residual = residual - entries[tokens[-1]]
        return torch.stack(tokens, dim=1)

    def lookup(self, tokens: Int[Tensor, "b q l"]) -> Float[Tensor, "b d l"]:
        """What codes stand for."""
        layers = cast(Iterable[_Layer], self.layers)
        pairs = zip(layers, tokens.unbind(dim=1), strict=False)
        total = torch.stack([layer.codebook.embed[numbers] for layer, numbers in pairs]).sum(dim=0)
        return total.transpose(1, 2)


class _Codebook(nn.Module):
    """Entries, and what training kept beside them, which published files hold too."""

    embed: Tensor

    def __init__(self, channels: int, *, size: int) -> None:
        super().__init__()
        self.register_buffer("inited", torch.ones(1))
        self.register_buffer("cluster_size", torch.zeros(size))
        self.register_buffer("embed", torch.randn(size, channels))
        self.register_buffer("embed_avg", torch.zeros(size, channels))


class _Layer(nn.Module):
    def __init__(self, codebook: _Codebook) -> None:
        super().__init__()
        self.codebook = codebook


def _published(name: str) -> str:
    for longer, shorter in _SHORTER.items():
        name = name.replace(longer, shorter)
    for half in ("encoder", "decoder"):
        if name.startswith(f"{half}.model."):
            name = f"{half}.layers.{name.removeprefix(f'{half}.model.')}"
    return name


def _rename_saved(
    module: nn.Module, state_dict: dict[str, Any], prefix: str, metadata: object
) -> None:
    assert isinstance(module, EncodecCodec)  # noqa: S101 - registered above only
    for own, published in module.published_names().items():
        if prefix + own in state_dict:
            state_dict[prefix + published] = state_dict.pop(prefix + own)
