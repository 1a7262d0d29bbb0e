"""Which weights of which checkpoint a command line asks for."""

import argparse
from dataclasses import replace

import torch

import sat_config
from sat_models.build import build_model
from sat_models.checkpoint import Checkpoint, match_weights, open_checkpoint, require_match
from sat_models.weight_files import fingerprint


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add which checkpoint, and which weights of it."""
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="a file, a run folder, or runs/NAME/latest"
    )
    parser.add_argument(
        "--ema", action="store_true", help="take the averaged weights that training kept"
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="the model (TOML, or stable-audio-tools' JSON) whose weights are wanted; they may be a"
        " part of the file, such as the autoencoder of a latent model",
    )


def open_wanted(arguments: argparse.Namespace) -> Checkpoint:
    """The weights that a command line asks for; with a model, all of its weights and no others.

    Raises:
        CheckpointError: They cannot be opened, or are not those of the model.
        ConfigError: The configuration is wrong.
    """
    checkpoint = open_checkpoint(arguments.checkpoint, ema=arguments.ema)
    if arguments.config is None:
        return checkpoint
    experiment = sat_config.load_model(arguments.config)
    with torch.device("meta"):
        model = build_model(experiment)
    report, tensors = match_weights(model, checkpoint)
    require_match(report, strict=True)
    return replace(
        checkpoint,
        state_dict=tensors,
        config=sat_config.dumps(experiment, "json"),
        fingerprint=fingerprint(tensors),
        set_aside=report.set_aside,
    )
