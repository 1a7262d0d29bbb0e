"""Builders of the networks, entered where sat-models looks for them."""

from torch import nn

from sat_forecast.networks import LSTMForecaster, TransformerForecaster, XLSTMForecaster
from sat_forecast.schema import LSTMExperiment, TransformerExperiment, XLSTMExperiment
from sat_models.build import build_model


@build_model.register
def _lstm(experiment: LSTMExperiment) -> nn.Module:
    return LSTMForecaster(experiment.model.lstm)


@build_model.register
def _xlstm(experiment: XLSTMExperiment) -> nn.Module:
    return XLSTMForecaster(experiment.model.xlstm)


@build_model.register
def _transformer(experiment: TransformerExperiment) -> nn.Module:
    return TransformerForecaster(experiment.model.transformer)
