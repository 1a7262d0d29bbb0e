"""`sat-models generate CHECKPOINT --prompt ... --out FILE`: new audio from a trained model.

The flags are those of stable-audio-3's command where there are such; each sets a key of the
`[inference]` table of the checkpoint's configuration, and `--override` reaches all the others.
"""

import argparse
import hashlib
import sys
import warnings
from pathlib import Path
from typing import Any

import msgspec
import torch

import sat_config
from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.inference import Inference
from sat_config.overrides import OverrideError, parse_value
from sat_models.audio.writing import check_suffix, write_audio
from sat_models.build import build_model
from sat_models.checkpoint import Checkpoint, load_weights, open_checkpoint
from sat_models.cli.wanted import add_checkpoint
from sat_models.errors import GenerationError
from sat_models.generation import Generated, generate

KEYS = {
    ("--seconds", "--duration"): ("seconds", "length of a clip; the training length if left out"),
    ("--steps",): ("steps", "steps of the sampler"),
    ("--cfg-scale",): (
        "cfg_scale",
        "strength of guidance; 1 turns it off, 6 if left out (language models: 1)",
    ),
    ("--sampler",): ("sampler", "the solver; what suits the model if left out"),
    ("--seed",): ("seed", "decides the result; drawn and told if left out"),
    ("--batch-size",): ("num_samples", "clips to make"),
    ("--init-audio",): ("init_audio", "audio to vary, or for a language model to continue"),
    ("--init-noise-level",): ("init_noise_level", "how much noise is laid on it"),
    ("--inpaint-audio",): ("inpaint_audio", "audio of which regions are made anew"),
}
"""Flags, the keys of the table that they set, and what they say."""

WIDTH = 30


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse keeps the type private
    """Enter the command."""
    parser = commands.add_parser(
        "generate",
        help="make audio with a trained model",
        epilog="Every key of the [inference] table can be set, also those without a flag:"
        " --override inference.top_k=50",
    )
    add_checkpoint(parser)
    parser.add_argument("-o", "--out", required=True, metavar="FILE", type=Path, help="to write")
    parser.add_argument("-p", "--prompt", action="append", default=[], help="may be repeated")
    parser.add_argument(
        "--condition",
        action="append",
        default=[],
        metavar="ID=VALUE",
        help="what another condition says, a TOML value; of audio the name of a file; may be"
        " repeated",
    )
    parser.add_argument("--negative-prompt", help="what guidance moves away from")
    for flags, (key, text) in KEYS.items():
        parser.add_argument(*flags, dest=key, metavar="VALUE", help=text)
    for edge in ("start", "end"):
        parser.add_argument(
            f"--inpaint-{edge}",
            action="append",
            default=[],
            metavar="SECONDS",
            help=f"{edge} of a region to make anew; may be repeated",
        )
    parser.add_argument("--device", help="such as cpu or cuda:1; a GPU if there is one")
    parser.add_argument(
        "--override", action="append", default=[], metavar="PATH=VALUE", help="may be repeated"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the clips; 0, since everything that may fail is an error."""
    words = _words(arguments)
    checkpoint = open_checkpoint(arguments.checkpoint, ema=arguments.ema)
    experiment = _experiment(arguments, checkpoint, words)
    inference = _with_conditions(arguments, experiment.inference)
    inference = _with_prompts(arguments, inference)
    files = _files(arguments.out, inference.num_samples)
    model = build_model(experiment).eval()
    load_weights(model, checkpoint)
    made = generate(
        model.to(_device(arguments.device)),
        inference,
        sample_size=experiment.sample_size,
        progress=_show_progress,
    )
    comment = _comment(experiment, checkpoint, inference, made)
    for file, clip in zip(files, made.audio, strict=True):
        write_audio(file, clip, sample_rate=made.sample_rate, comment=comment)
        print(f"{file}: {clip.shape[1] / made.sample_rate:.2f} s at {made.sample_rate} Hz")
    print(f"  seed {made.seed}")
    return 0


def _words(arguments: argparse.Namespace) -> list[str]:
    """The flags as overrides, before those that are given as such."""
    words = [
        f"inference.{key}={getattr(arguments, key)}"
        for key, _ in KEYS.values()
        if getattr(arguments, key) is not None
    ]
    starts, ends = arguments.inpaint_start, arguments.inpaint_end
    if len(starts) != len(ends):
        raise GenerationError(
            f"{len(starts)} times --inpaint-start and {len(ends)} times --inpaint-end: a region to"
            " make anew has both"
        )
    if starts:
        regions = ", ".join(f"[{a}, {b}]" for a, b in zip(starts, ends, strict=True))
        words.append(f"inference.inpaint_regions=[{regions}]")
    return [*words, *arguments.override]


def _experiment(
    arguments: argparse.Namespace, checkpoint: Checkpoint, words: list[str]
) -> AudioExperiment:
    if arguments.config is not None:
        experiment = sat_config.load_model(arguments.config, words)
    elif checkpoint.config is not None:
        document = msgspec.json.decode(checkpoint.config, type=dict[str, Any])
        with warnings.catch_warnings():  # whoever trained it has heard them
            warnings.simplefilter("ignore", sat_config.ConfigWarning)
            experiment = sat_config.load_model(document, words)
    else:
        raise GenerationError(
            f"{checkpoint.path} holds no configuration: name the model that it belongs to with"
            " --config FILE"
        )
    if not isinstance(experiment, AudioExperiment):
        raise GenerationError(f"{checkpoint.path} is no model of audio")
    return experiment


def _with_conditions(arguments: argparse.Namespace, inference: Inference) -> Inference:
    """The table with the other conditions of the command line, which are those of all clips."""
    said: dict[str, Any] = {}
    for word in arguments.condition:
        name, equals, text = word.partition("=")
        if not (name and equals):
            raise GenerationError(f"--condition {word!r}: expected ID=VALUE")
        try:
            said[name] = parse_value(text, None)
        except OverrideError as error:
            raise GenerationError(f"--condition {word!r}: {error}") from error
    if not said:
        return inference
    entries = tuple({**entry, **said} for entry in inference.conditioning or ({},))
    return msgspec.structs.replace(inference, conditioning=entries)


def _with_prompts(arguments: argparse.Namespace, inference: Inference) -> Inference:
    """The table with the prompts of the command line; several make as many clips."""
    prompts = [{"prompt": text} for text in arguments.prompt]
    changes: dict[str, Any] = {}
    if prompts:
        entries = inference.conditioning or ({},)
        if len(entries) == 1:
            entries *= len(prompts)
        if len(entries) != len(prompts):
            raise GenerationError(
                f"{len(prompts)} times --prompt, but inference.conditioning has {len(entries)}"
                " entries"
            )
        changes["conditioning"] = tuple(
            {**entry, **prompt} for entry, prompt in zip(entries, prompts, strict=True)
        )
        if len(prompts) > 1 and arguments.num_samples is None:
            changes["num_samples"] = len(prompts)
    if arguments.negative_prompt is not None:
        changes["negative_conditioning"] = ({"prompt": arguments.negative_prompt},)
    return msgspec.structs.replace(inference, **changes)


def _files(out: Path, count: int) -> list[Path]:
    """One name per clip: the one that is asked for, or that with numbers."""
    check_suffix(out)
    files = [out]
    if count > 1:
        files = [out.with_stem(f"{out.stem}-{number}") for number in range(1, count + 1)]
    for file in files:
        if file.exists():
            raise GenerationError(f"{file} exists already; name another file, or remove it first")
    return files


def _device(name: str | None) -> torch.device:
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise GenerationError(f"--device {name}: cannot be used: {reason}") from error


def _show_progress(done: int, total: int | None) -> None:
    """A line on stderr that is written over; where that is a file, only its end."""
    finished = done == total
    if not (sys.stderr.isatty() or finished):
        return
    text = f"step {done}" + (f" of {total}" if total else "")
    start = "\r" if sys.stderr.isatty() else ""
    end = "\n" if finished else ""
    print(f"{start}{text:<{WIDTH}}".rstrip(" ") + end, end="", file=sys.stderr, flush=True)


def _comment(
    experiment: AudioExperiment, checkpoint: Checkpoint, inference: Inference, made: Generated
) -> str:
    """What it takes to make the clips again, as JSON."""
    settings = sat_config.plain(inference)
    for key in ("init_audio", "inpaint_audio"):
        if key in settings:
            settings[key] = Path(settings[key]).name
    facts = {
        "made_by": "sat-models generate",
        "weights": checkpoint.fingerprint,
        "config": config_fingerprint(experiment),
        "seed": made.seed,
        "inference": settings,
    }
    return msgspec.json.encode(facts).decode()


def config_fingerprint(experiment: AudioExperiment) -> str:
    """A short name for a model's configuration, wherever the files lie that it names.

    Returns:
        The first 16 hexadecimal digits of the SHA-256 of what makes up the model, as JSON.
    """
    plain = sat_config.plain(experiment)
    keys = ("model_type", "sample_rate", "sample_size", "audio_channels", "model")
    text = msgspec.json.encode(_without_paths({key: plain[key] for key in keys}), order="sorted")
    return hashlib.sha256(text).hexdigest()[:16]


def _without_paths(value: Any) -> Any:  # noqa: ANN401 - any plain value
    if isinstance(value, dict):
        return {k: _without_paths(v) for k, v in value.items() if not str(k).endswith("_path")}
    return [_without_paths(item) for item in value] if isinstance(value, list) else value
