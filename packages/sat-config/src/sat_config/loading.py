"""The whole road from files and overrides to a typed configuration, or to all that is wrong."""

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec

from sat_config import (
    asides,
    convert,
    diagnose,
    document,
    encode,
    guards,
    hints,
    layers,
    overrides,
    plugins,
    roots,
    rules,
    schema,
    shipped,
)
from sat_config.document import Document, DocumentError
from sat_config.errors import ConfigError, ConfigWarning, Path, Problem, format_path
from sat_config.layers import Folded, Layer, Origin
from sat_config.run import Experiment
from sat_config.schema import Slot

StrPath = str | os.PathLike[str]
NESTED = (dict, list)
Node = TypeVar("Node", bound=msgspec.Struct)


class Report(msgspec.Struct, eq=False, kw_only=True):
    """What loading a document gave.

    Attributes:
        config: The typed configuration; None if there are errors.
        problems: Errors and warnings.
        folded: The table it was decoded from, with the trace of every value.
    """

    config: Any = None
    problems: tuple[Problem, ...] = ()
    folded: Folded | None = None

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that refuse the document."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def origins(self) -> dict[str, str]:
        """Leaf path to "file:line", to the override's word, or to "default"."""
        if self.config is None or self.folded is None:
            return {}
        found: dict[str, str] = {}
        _collect_origins(encode.plain(self.config), self.folded.tree, (), self.folded, found)
        return found

    def require(self) -> Any:  # noqa: ANN401 - the type depends on the document
        """The configuration; warnings are issued as `ConfigWarning`.

        Raises:
            ConfigError: There are errors.
        """
        if self.errors:
            raise ConfigError(self.problems)
        for problem in self.problems:
            text = f"{problem.place()}: {problem.message} [{problem.code}]"
            warnings.warn(text, ConfigWarning, stacklevel=3)
        return self.config


def check(
    path: StrPath | Mapping[str, Any] | Document | None,
    overrides: Sequence[str] = (),
    layers: Sequence[StrPath] = (),
    *,
    may_run: bool = True,
) -> Report:
    """Load an experiment and report instead of raising.

    Args:
        path: A TOML, JSON or INI file, its document, or plain data; None where overrides say
            everything.
        overrides: Words like `batch_size=8` or `-training.demo`, applied in order.
        layers: Further files laid on top of the first, in order.
        may_run: Whether broken rules are errors; they are warnings for what is only read.
    """
    return _check([path, *layers], overrides, None, may_run=may_run)


def check_composed(data: Mapping[str, Any], origin_of: Callable[[Path], Origin]) -> Report:
    """Check an experiment that another tool has composed, such as Hydra, as `check` does a file.

    Layers that the data names (`include`, `model_config`, ...) lie below it; relative paths start
    from the working directory.

    Args:
        data: The experiment as plain data.
        origin_of: Function from a path in it to who set the value there.
    """
    plugins.load()
    try:
        composed = document.from_mapping(data, "the composition")
        composed.origin_of = origin_of
        expanded = layers.expand(composed)
    except DocumentError as error:
        return Report(problems=error.problems)
    return _decode_layers(expanded, (), None, may_run=True)


def load(
    path: StrPath | Mapping[str, Any] | None,
    overrides: Sequence[str] = (),
    layers: Sequence[StrPath] = (),
) -> Experiment:
    """Load an experiment that may run.

    Args:
        path: A TOML, JSON or INI file, or plain data; None where overrides say everything.
        overrides: Words like `batch_size=8` or `-training.demo`, applied in order.
        layers: Further files laid on top of the first, in order.

    Raises:
        ConfigError: With everything that is wrong, broken rules included.
    """
    config: Experiment = check(path, overrides, layers).require()
    return config


def load_model(path: StrPath | Mapping[str, Any], overrides: Sequence[str] = ()) -> Experiment:
    """Load a model document, such as stable-audio-tools' `model_config.json`, or plain data.

    Broken rules are warnings here: the question is whether this is a document.

    Raises:
        ConfigError: It is not one.
    """
    config: Experiment = _check([path], overrides, None, may_run=False).require()
    return config


def load_as(path: StrPath, family: type[Node], overrides: Sequence[str] = ()) -> Node:
    """Load a document that holds one node of a family, such as a dataset.

    Raises:
        ConfigError: It holds none.
    """
    config: Node = _check([path], overrides, family, may_run=False).require()
    return config


def decode(mapping: Mapping[str, Any], type: type[Node] | None = None) -> Any:  # noqa: ANN401
    """Decode plain data: a whole document by its tag, or one node of a family or Struct.

    Args:
        mapping: Plain data, as a JSON or TOML parser gives it.
        type: The Struct, or the head of the family; the root of a document if left out.

    Raises:
        ConfigError: With everything that is wrong. Broken rules are warnings.
    """
    plugins.load()
    return _check_mapping(mapping, "<mapping>", type, may_run=False).require()


def validate(config: Experiment) -> Report:
    """Check a configuration that was made in Python: types, ranges and rules."""
    plugins.load()
    try:
        tree = encode.plain(config)
    except TypeError as error:  # a value of a class that no document can hold
        return Report(problems=(Problem(code="not-plain", message=str(error), file="<python>"),))
    return _check_mapping(tree, "<python>", type(config), may_run=True)


# ------------------------------------------------------------------------------------------ steps


def _check(
    paths: Sequence[StrPath | Mapping[str, Any] | Document | None],
    words: Sequence[str],
    kind: type[msgspec.Struct] | None,
    *,
    may_run: bool,
) -> Report:
    plugins.load()
    problems: list[Problem] = []
    documents = []
    for path in paths:
        try:
            documents.append(_open(path))
        except DocumentError as error:
            problems += error.problems
    steering, later = _split_overrides(words, problems)
    expanded: list[Layer] = []
    for number, found in enumerate(documents):
        if number == 0:
            problems += _steer(found, steering)
        try:
            expanded += layers.expand(found)
        except DocumentError as error:
            problems += error.problems
    if any(problem.code != "bad-override" for problem in problems):
        return Report(problems=tuple(problems))
    return _decode_layers(expanded, later, kind, may_run=may_run, found=problems)


def _open(path: StrPath | Mapping[str, Any] | Document | None) -> Document:
    if path is None:
        return document.from_mapping({}, "the command line")
    if isinstance(path, Document):
        return path
    if isinstance(path, Mapping):
        return document.from_mapping(path, "<mapping>")
    return document.read(path)


def _check_mapping(
    mapping: Mapping[str, Any], name: str, kind: type[msgspec.Struct] | None, *, may_run: bool
) -> Report:
    try:
        expanded = layers.expand(document.from_mapping(mapping, name))
    except DocumentError as error:
        return Report(problems=error.problems)
    return _decode_layers(expanded, (), kind, may_run=may_run)


def _split_overrides(
    words: Sequence[str], problems: list[Problem]
) -> tuple[list[overrides.Override], list[overrides.Override]]:
    """Overrides of the layer keys, which act before layering, and all others."""
    steering: list[overrides.Override] = []
    later: list[overrides.Override] = []
    for word in words:
        origin = overrides.origin_of(word)
        try:
            parsed = overrides.parse(word, origin)
        except overrides.OverrideError as error:
            problems.append(overrides.problem(word, error, origin))
            continue
        (steering if parsed.path[0] in layers.LAYER_KEYS else later).append(parsed)
    return steering, later


def _steer(top: Document, steering: Iterable[overrides.Override]) -> list[Problem]:
    """Apply overrides of `include`, `model_config` and the like to the topmost document."""
    problems = []
    top.data = dict(top.data)
    for override in steering:
        folded = Folded(top.data, layers.Trace(override.origin, children={}), problems=[])
        folded.slot = schema.struct_slot(layers.Steering)
        names_files = override.path[0] not in ("overrides", "layer")
        names_files = names_files and override.path[-1] not in ("take", "at")
        adjust = partial(_from_here, folder=top.source.folder) if names_files else None
        try:
            overrides.apply(folded, override, adjust=adjust)
        except overrides.OverrideError as error:
            problems.append(overrides.problem(override.word, error, override.origin))
    return problems


def _from_here(value: Any, folder: str) -> Any:  # noqa: ANN401 - a layer key's value
    """A layer reference of the command line, which starts from the working directory."""
    if isinstance(value, str) and not value.startswith(shipped.PREFIX):
        return os.path.relpath(os.path.expanduser(value), folder) if value else value
    if isinstance(value, list):
        return [_from_here(item, folder) for item in value]
    if isinstance(value, dict) and "path" in value:
        return {**value, "path": _from_here(value["path"], folder)}
    return value


def _decode_layers(
    expanded: list[Layer],
    later: Sequence[overrides.Override],
    kind: type[msgspec.Struct] | None,
    *,
    may_run: bool,
    found: Iterable[Problem] = (),
) -> Report:
    problems = list(found)
    slot = schema.struct_slot(kind) if kind else roots.slot_of(expanded, problems)
    if slot is None:
        return Report(problems=tuple(problems))
    folded = layers.fold(expanded, slot)
    folded.problems += problems
    folded.problems += _apply_all(folded, expanded, later)
    if any(layer.document.source.language == "json" for layer in expanded):
        folded.problems += asides.drop_comments(folded)
    folded.problems += guards.check(folded, expanded)
    asides.set_ignored_apart(folded)
    _resolve_paths(folded)
    return _decode_folded(folded, may_run=may_run)


def _apply_all(
    folded: Folded, expanded: Sequence[Layer], later: Sequence[overrides.Override]
) -> list[Problem]:
    """Apply the layers' own override lists, then the command line's."""
    problems = []
    unknown_ok = frozenset(asides.accepted(folded.tree, "allow_unknown"))
    parsed: list[overrides.Override] = []
    for layer in expanded:
        for number, word in enumerate(layer.overrides()):
            source = layer.document.source
            origin = Origin(source, ("overrides", number))
            try:
                parsed += _mounted(overrides.parse(str(word), origin), layer)
            except overrides.OverrideError as error:
                problems.append(document.at(source, origin.path, "bad-override", str(error)))
    for override in (*parsed, *later):
        try:
            overrides.apply(folded, override, unknown_ok=unknown_ok)
        except overrides.OverrideError as error:
            problems.append(overrides.problem(override.word, error, override.origin))
    return problems


def _mounted(override: overrides.Override, layer: Layer) -> list[overrides.Override]:
    """A layer's own override, moved to where the layer is mounted; none if outside of it."""
    depth = len(layer.take)
    if override.path[:depth] != layer.take:
        return []
    path = (*layer.at, *override.path[depth:])
    return [msgspec.structs.replace(override, path=path, starts=())]


def _resolve_paths(folded: Folded) -> None:
    """Make input paths absolute: relative ones start from the file that names them."""
    if folded.slot is not None:
        _resolve(folded.tree, folded.slot, (), folded)


def _resolve(value: Any, slot: Slot, path: Path, folded: Folded) -> Any:  # noqa: ANN401
    if isinstance(value, str):
        if value and slot.path_kind in ("input", "checkpoint"):
            return _absolute(value, slot.path_kind, path, folded)
        return value
    if isinstance(value, dict):
        known = schema.keys_of(slot, value)
        for key, item in value.items():
            child = known[key].slot if key in known else slot.values
            if child is not None and (child.path_kind or isinstance(item, NESTED)):
                value[key] = _resolve(item, child, (*path, key), folded)
    elif isinstance(value, list) and slot.item is not None:
        for number, item in enumerate(value):
            if slot.item.path_kind or isinstance(item, NESTED):
                value[number] = _resolve(item, slot.item, (*path, number), folded)
    return value


def _absolute(name: str, kind: str, path: Path, folded: Folded) -> str:
    """An input path in full; a checkpoint not beside the naming file is a run, from here.

    stable-audio-tools starts from the working directory, so what its JSON files name is looked for
    there too, with a warning.
    """
    source = folded.trace.find(path).source
    beside = os.path.abspath(os.path.join(source.folder, os.path.expanduser(name)))
    from_here = os.path.abspath(os.path.expanduser(name))
    if beside == from_here or os.path.exists(beside):
        return beside
    if kind == "checkpoint":
        return from_here
    if source.language == "json" and os.path.exists(from_here):
        message = f"{name!r} is not beside this file; the one in the working directory is taken"
        problem = Problem(code="path-from-here", severity="warning", path=path, message=message)
        folded.problems.append(diagnose.locate(folded, problem))
        return from_here
    return beside


def _decode_folded(folded: Folded, *, may_run: bool) -> Report:
    config: Any = None
    slot = folded.slot
    cls = slot.struct_for(folded.tree) if slot else None
    problems = list(folded.problems)
    try:
        if cls is None:
            raise msgspec.ValidationError("no such tag")
        schema.settle(cls)
        config = convert.convert(folded.tree, cls)
    except msgspec.ValidationError as error:
        found = diagnose.diagnose(folded)
        problems += found or [_unexplained(folded, error)]
    else:
        problems += [
            diagnose.locate(
                folded,
                Problem(
                    code=rule.code,
                    severity=rule.severity,
                    path=path,
                    message=broken.message,
                    suggestion=broken.fix,
                ),
            )
            for rule, path, broken in rules.broken(config)
        ]
    problems = [_judged(problem, folded, may_run=may_run) for problem in problems]
    problems += asides.notes_on_checks(folded)
    problems += asides.inert_keys(folded.tree, slot, (), folded) if slot else []
    failed = any(problem.severity == "error" for problem in problems)
    return Report(config=None if failed else config, problems=tuple(problems), folded=folded)


def _judged(problem: Problem, folded: Folded, *, may_run: bool) -> Problem:
    """A broken rule counts as an error only for what shall run and does not accept it."""
    if problem.code not in rules.RULES or problem.severity == "warning":
        return problem
    if may_run and problem.code not in asides.accepted(folded.tree, "allow"):
        source = folded.trace.find_last(()).source
        note = f"if this is meant, accept it: {hints.accepting(source.language, problem.code)}"
        return msgspec.structs.replace(problem, note=note)
    return msgspec.structs.replace(problem, severity="warning")


def _unexplained(folded: Folded, error: Exception) -> Problem:
    return Problem(code="bad-value", message=str(error), file=folded.trace.origin.source.name)


def _collect_origins(
    value: Any,  # noqa: ANN401 - plain data
    tree: Any,  # noqa: ANN401 - plain data
    path: Path,
    folded: Folded,
    found: dict[str, str],
) -> None:
    if isinstance(value, dict | list) and value:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in pairs:
            try:
                below = tree[key]
            except (KeyError, IndexError, TypeError):
                below = msgspec.UNSET
            _collect_origins(item, below, (*path, key), folded, found)
    else:
        known = tree is not msgspec.UNSET
        found[format_path(path)] = folded.trace.find(path).place() if known else "default"
