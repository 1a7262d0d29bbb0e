"""The networks: a window of readings in, the readings that follow out.

Letters of shapes: b batch, t steps seen, i inputs per step, p steps forecast, o readings per step,
h width, n detectors, f features.
"""

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sat_config.errors import MissingExtraError, UserError
from sat_forecast.schema import LSTMNetwork, Network, TransformerNetwork, XLSTMNetwork


class Forecaster(nn.Module, ABC):
    """A network with a head of its own for every step that it forecasts.

    Args:
        network: The sizes.
        width: Numbers that `summarise` gives per window.
    """

    def __init__(self, network: Network, *, width: int) -> None:
        super().__init__()
        self.inputs = network.input_size
        self.steps = network.prediction_length
        self.outputs = network.output_size
        self.head = nn.Linear(width, self.steps * self.outputs)

    @abstractmethod
    def summarise(self, x: Float[Tensor, "b t i"]) -> Float[Tensor, "b h"]:
        """What the head needs to know of a window."""

    def forward(self, x: Float[Tensor, "b t i"]) -> Float[Tensor, "b p o"]:
        """The readings that follow, normalised as the inputs are.

        Raises:
            UserError: A step has another number of inputs than the network.
        """
        if x.shape[-1] != self.inputs:
            raise UserError(
                f"a step has {x.shape[-1]} inputs, but the network takes {self.inputs}: features x"
                " detectors, and the calendar where it is on"
            )
        flat: Tensor = self.head(self.summarise(x))
        return flat.reshape(-1, self.steps, self.outputs)


def by_detector(forecast: Float[Tensor, "b p o"], *, num_vds: int) -> Float[Tensor, "b p n f"]:
    """A forecast with detectors and features apart."""
    return forecast.reshape(*forecast.shape[:2], num_vds, -1)


class LSTMForecaster(Forecaster):
    """A stack of LSTM layers; the head reads its last step through a narrower layer."""

    def __init__(self, network: LSTMNetwork) -> None:
        width = network.hidden_size * (2 if network.bidirectional else 1)
        super().__init__(network, width=network.hidden_size // 2)
        self.lstm = nn.LSTM(
            network.input_size,
            network.hidden_size,
            network.num_layers,
            dropout=network.dropout if network.num_layers > 1 else 0.0,
            bidirectional=network.bidirectional,
            batch_first=True,
        )
        self.narrow = nn.Sequential(
            nn.Linear(width, network.hidden_size // 2), nn.ReLU(), nn.Dropout(network.dropout)
        )

    def summarise(self, x: Float[Tensor, "b t i"]) -> Float[Tensor, "b h"]:
        """The last step's state."""
        narrow: Tensor = self.narrow(self.lstm(x)[0][:, -1])
        return narrow


class XLSTMForecaster(Forecaster):
    """A stack of xLSTM blocks from the package `xlstm`; the head reads its last step.

    Raises:
        MissingExtraError: The package is not installed.
    """

    def __init__(self, network: XLSTMNetwork) -> None:
        super().__init__(network, width=network.embedding_dim)
        self.embed = nn.Linear(network.input_size, network.embedding_dim)
        self.dropout = nn.Dropout(network.dropout)
        self.blocks = _xlstm_blocks(network)

    def summarise(self, x: Float[Tensor, "b t i"]) -> Float[Tensor, "b h"]:
        """The last step's state."""
        states: Tensor = self.blocks(self.dropout(self.embed(x)))
        return states[:, -1]


def _xlstm_blocks(network: XLSTMNetwork) -> nn.Module:
    try:
        import xlstm
    except ImportError as error:
        raise MissingExtraError(
            "TrafficXLSTM needs the package xlstm: pip install 'sat-forecast[xlstm]'"
        ) from error
    stack: nn.Module = xlstm.xLSTMBlockStack(
        xlstm.xLSTMBlockStackConfig(
            mlstm_block=xlstm.mLSTMBlockConfig(mlstm=xlstm.mLSTMLayerConfig()),
            slstm_block=xlstm.sLSTMBlockConfig(
                slstm=xlstm.sLSTMLayerConfig(backend=network.slstm_backend),
                feedforward=xlstm.FeedForwardConfig(proj_factor=1.3, act_fn="gelu"),
            )
            if network.slstm_at
            else None,
            context_length=network.context_length,
            num_blocks=network.num_blocks,
            embedding_dim=network.embedding_dim,
            slstm_at=list(network.slstm_at),
        )
    )
    return stack


class TransformerForecaster(Forecaster):
    """A transformer encoder over the steps; the head reads the last one, or their mean."""

    def __init__(self, network: TransformerNetwork) -> None:
        super().__init__(network, width=network.d_model)
        self.pool = network.pool
        self.embed = nn.Linear(network.input_size, network.d_model)
        table = _sinusoids(network.max_length, network.d_model)
        if network.positional == "learned":
            self.positions = nn.Parameter(torch.randn_like(table) * 0.02)
        else:
            self.register_buffer("positions", table, persistent=False)
        layer = nn.TransformerEncoderLayer(
            network.d_model,
            network.num_heads,
            network.ff_dim,
            network.dropout,
            network.activation,
            batch_first=True,
            norm_first=network.norm_first,
        )
        self.encoder = nn.TransformerEncoder(
            layer,
            network.num_layers,
            norm=nn.LayerNorm(network.d_model) if network.norm_first else None,
            enable_nested_tensor=False,
        )

    def summarise(self, x: Float[Tensor, "b t i"]) -> Float[Tensor, "b h"]:
        """The last step's state, or the mean."""
        states: Tensor = self.encoder(self.embed(x) + self.positions[: x.shape[1]])
        return states.mean(1) if self.pool == "mean" else states[:, -1]


def _sinusoids(length: int, width: int) -> Float[Tensor, "t h"]:
    """Sines in the even columns, cosines in the odd ones (Vaswani et al. 2017, section 3.5)."""
    steps = torch.arange(length).unsqueeze(1)
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    table = torch.zeros(length, width)
    table[:, 0::2] = torch.sin(steps * rates)
    table[:, 1::2] = torch.cos(steps * rates)[:, : width // 2]
    return table
