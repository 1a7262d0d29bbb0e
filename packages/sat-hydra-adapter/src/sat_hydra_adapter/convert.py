"""From Hydra's composed configuration to a typed experiment."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hydra import __version__ as hydra_version
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

import sat_config
from sat_config import Experiment, Problem, Report, hints
from sat_config.errors import Path
from sat_config.layers import Origin, Trace
from sat_hydra_adapter.errors import composition_error
from sat_hydra_adapter.origins import NOWHERE, trace_of
from sat_hydra_adapter.words import forced

BASE: dict[str, Any] = {"version_base": "1.3"} if hydra_version.startswith("1.3.") else {}
"""Hydra 1.3 wants to be told whose habits to follow; later versions know only their own."""


_HELPER = re.compile(r"\+*(_\w+)")
_INTERPOLATION = re.compile(r"\$\{([^}]*)")
_NAME = re.compile(r"\w+")


def compose(
    config_dir: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    *,
    config_name: str = "config",
) -> Experiment:
    """Compose YAML groups and decode the result.

    Args:
        config_dir: Folder of the groups; those that the adapter ships lie behind it.
        overrides: Words of Hydra's grammar, such as `model=small_vae` or `batch_size=8`.
        config_name: The primary file, without its suffix.

    Raises:
        CompositionError: A group, file or interpolation is not there.
        ConfigError: The composed data is no experiment that may run, or a `???` was not filled.
    """
    words = forced(overrides)
    try:
        with initialize_config_dir(os.path.abspath(config_dir), **BASE):
            composed = hydra_compose(config_name, overrides=words)
            report = check_composed(composed, config_name=config_name, words=words)
    except (HydraException, OmegaConfBaseException) as error:
        raise composition_error(error) from error
    experiment: Experiment = report.require()
    return experiment


def check_composed(
    composed: DictConfig, *, config_name: str, words: Sequence[str], traced: bool = False
) -> Report:
    """Decode and check what Hydra composed, while Hydra is still set up.

    Relative paths start from the working directory. Root keys that start with an underscore are
    helpers for interpolation and are left out.

    Args:
        composed: The configuration.
        config_name: The primary file.
        words: The words of the command line, as Hydra got them.
        traced: Whether to find out who set each value even if nothing is wrong, which takes as
            long as composing.
    """
    if idle := tuple(_idle_helpers(composed, words)):
        return Report(problems=idle)
    if not traced:
        report = _checked(composed, lambda _: NOWHERE)
        if report is not None and not report.problems:
            return report
    trace = trace_of(GlobalHydra.instance().config_loader(), config_name, words)
    return _checked(composed, trace.find) or Report(problems=tuple(_unfilled(composed, trace)))


def _checked(composed: DictConfig, origin_of: Callable[[Path], Origin]) -> Report | None:
    """The report of sat-config; None if a value is missing or refers to nothing."""
    try:
        data: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException:
        return None
    kept = {str(key): value for key, value in data.items() if not _is_helper(str(key))}
    return sat_config.check_composed(kept, origin_of)


def _is_helper(key: str) -> bool:
    return key == "hydra" or key.startswith("_")


def _idle_helpers(composed: DictConfig, words: Sequence[str]) -> Iterator[Problem]:
    """A problem for every word that sets a helper to which no value refers."""
    helpers = [(word, found[1]) for word in words if (found := _HELPER.match(word))]
    if not helpers:
        return
    text = OmegaConf.to_yaml(composed)
    if HydraConfig.initialized():
        text += OmegaConf.to_yaml(HydraConfig.instance().cfg)
    used = {name for inside in _INTERPOLATION.findall(text) for name in _NAME.findall(inside)}
    known = sorted(name for name in used if name.startswith("_"))
    for word, helper in helpers:
        if helper not in used:
            yield Problem(
                code="unknown-key",
                message=f"no value that was composed refers to ${{{helper}}}",
                file=f"{word.lstrip('+')!r}",
                allowed=", ".join(known) or None,
                suggestion=hints.nearest(helper, known),
            )


def _unfilled(composed: DictConfig, trace: Trace) -> Iterator[Problem]:
    """A problem for every `???`, and for every interpolation that leads nowhere."""
    for path, holder, key in _leaves(composed, ()):
        flaw = _flaw(holder, key, ".".join(map(str, path)))
        if flaw is not None:
            code, message, advice = flaw
            origin = trace.find(path)
            line, column, shown = origin.source.locate(origin.path, value=True) or (None,) * 3
            yield Problem(
                code=code,
                path=path,
                message=message,
                file=origin.source.name,
                line=line,
                column=column,
                source_line=shown,
                suggestion=advice,
            )


def _flaw(holder: Any, key: Any, name: str) -> tuple[str, str, str] | None:  # noqa: ANN401
    """Why a value is not there: code, sentence and advice; None if it is."""
    if OmegaConf.is_missing(holder, key):
        return "missing-value", f"{name} has no value yet (???)", f"{name}=VALUE"
    try:
        holder[key]
    except InterpolationToMissingValueError:  # told where it is missing
        return None
    except OmegaConfBaseException as error:
        message = f"{name}: {str(error).splitlines()[0]}"
        return "bad-interpolation", message, "name a key that one of the files has"
    return None


def _leaves(node: Any, path: Path) -> Iterator[tuple[Path, Any, Any]]:  # noqa: ANN401
    """(path, container, key) of everything that is no table or list with content of its own."""
    keys = range(len(node)) if isinstance(node, ListConfig) else list(node)
    for key in (key for key in keys if path or key != "hydra"):
        here = (*path, key)
        plain = OmegaConf.is_missing(node, key) or OmegaConf.is_interpolation(node, key)
        value = None if plain else node[key]
        if isinstance(value, DictConfig | ListConfig):
            yield from _leaves(value, here)
        else:
            yield here, node, key
