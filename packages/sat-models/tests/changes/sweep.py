"""Building a model twice, with one value changed, and seeing what that does."""

import functools
import typing
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import torch
from torch import nn

from sat_config import convert, plugins, registry, schema
from sat_models.build import build_model

SEED = 5
CHOICES = (None, True, False, 1, 2, 3, 4, 16, 32, 0, -1, 0.25, 0.5, 1.5, "all", ["<x>"])
"""Values that are tried wherever they are legal, after those made from the present one."""

TRIED = 7
"""Legal values that are tried per place."""


# ----------------------------------------------------------------------------- places and values


@dataclass(frozen=True)
class Spot:
    """A key of a node in a document."""

    cls: type[msgspec.Struct]
    key: str
    path: tuple[str | int, ...]

    @property
    def declared_by(self) -> tuple[type, str]:
        """The class whose own annotation the key comes from."""
        owners = [
            base for base in self.cls.__mro__ if self.key in vars(base).get("__annotations__", {})
        ]
        return owners[-1], self.key


def spots(value: object, path: tuple[str | int, ...] = ()) -> Iterator[Spot]:
    """All keys that hold something other than one further node."""
    if isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from spots(item, (*path, number))
    if not isinstance(value, msgspec.Struct):
        return
    for key in schema.fields(type(value)):
        inner = getattr(value, key)
        slot = schema.fields(type(value))[key].slot
        if not isinstance(inner, msgspec.Struct) or slot.nullable:
            yield Spot(type(value), key, (*path, key))
        yield from spots(inner, (*path, key))


def alternatives(spot: Spot, value: object) -> list[object]:
    """Other legal values of a key, as plain data."""
    annotation = schema.fields(spot.cls)[spot.key].slot.annotation
    candidates = [*_near(value), *_literals(annotation), *CHOICES, *_nodes(annotation)]
    legal: list[object] = []
    for candidate in candidates:
        known = candidate == value and type(candidate) is type(value)
        fits = convert.fault(candidate, annotation) is None
        if fits and not known and not any(_same(candidate, other) for other in legal):
            legal.append(candidate)
    return legal[:TRIED]


def _same(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


def _near(value: object) -> Iterator[object]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (2 * value, value + 1, value - 1)
    elif isinstance(value, float):
        yield from (value / 2, 2 * value)
    elif isinstance(value, list) and value:
        for first in _near(value[0]):
            yield [first, *value[1:]]
            yield [*value[:-1], first]
        yield from (value[::-1], [*value, value[-1]], value[:-1])
    elif isinstance(value, list | dict):
        yield type(value)()


def _literals(annotation: object) -> Iterator[object]:
    for part, _ in schema.alternatives(annotation):
        if typing.get_origin(part) is typing.Literal:
            yield from typing.get_args(part)


def _nodes(annotation: object) -> Iterator[object]:
    """An empty table for what may be a node, and a node of each tag."""
    slot = schema.slot_of(annotation)
    if slot.family is not None:
        yield from ({slot.family.tag_path[0]: tag} for tag in slot.family.members)
    elif slot.structs:
        yield {}


def replaced(plain: object, path: tuple[str | int, ...], value: object) -> object:
    """Plain data with another value at a path."""
    if not path:
        return value
    if isinstance(plain, list):
        return [replaced(v, path[1:], value) if n == path[0] else v for n, v in enumerate(plain)]
    assert isinstance(plain, dict)
    return {**plain, path[0]: replaced(plain.get(path[0]), path[1:], value)}


# --------------------------------------------------------------------------------------- looking


@dataclass(frozen=True)
class Seen:
    """What a model does.

    Attributes:
        shapes: Shape of each entry of the state dict.
        latents: What audio is encoded to.
        results: All that a trained model gives.
        training: Fresh weights, and what one step of training gives, losses and gradients included.
    """

    shapes: dict[str, tuple[int, ...]]
    latents: dict[str, object]
    results: dict[str, object]
    training: dict[str, object]


def decode(plain: dict[str, object]) -> msgspec.Struct:
    """The typed experiment; rules between fields are not asked."""
    plugins.load()
    root = registry.current().roots()[0]
    found = root.member_for(plain)
    assert found is not None
    return convert.convert(plain, found)


def fresh(config: msgspec.Struct) -> nn.Module:
    """A model with its first weights."""
    torch.manual_seed(SEED)
    return build_model(config)


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """What a checkpoint has to fit."""
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


class Document:
    """One tiny experiment, and what its model does."""

    def __init__(self, plain: dict[str, object], probe: typing.Any) -> None:
        self.config = decode(plain)
        self.probe = probe

    @functools.cached_property
    def state(self) -> dict[str, torch.Tensor]:
        """Weights as if trained: none are zero, and codebooks have seen data."""
        model = fresh(self.config)
        torch.manual_seed(SEED)
        for name, parameter in model.named_parameters():
            if not name.endswith("weight_g"):
                nn.init.normal_(parameter, mean=0.05, std=0.2)
        model.train()
        self.probe.training(model, self.inputs)
        return {name: value.clone() for name, value in model.state_dict().items()}

    @functools.cached_property
    def inputs(self) -> typing.Any:
        """What the model gets, made once from its own sizes."""
        torch.manual_seed(SEED)
        return self.probe.inputs(fresh(self.config).eval(), self.config)

    @functools.cached_property
    def seen(self) -> Seen:
        """What the model of the document itself does."""
        return self.look(self.config)

    def look(self, config: msgspec.Struct) -> Seen:
        """What the model of a configuration does with the document's weights and inputs."""
        model = fresh(config)
        found = shapes(model)
        if config is not self.config and found != self.seen.shapes:
            return Seen(found, {}, {}, {})
        first = {f"fresh {name}": value.clone() for name, value in model.state_dict().items()}
        model.load_state_dict(self.state)
        model.eval()
        torch.manual_seed(SEED)
        with torch.no_grad():
            latents = self.probe.latents(model, self.inputs)
            results = latents | self.probe.results(model, self.inputs)
        model.train()
        torch.manual_seed(SEED)
        training = first | self.probe.training(model, self.inputs) | _gradients(model)
        return Seen(found, latents, results, training)


def _gradients(model: nn.Module) -> dict[str, object]:
    trained = {f"trained {name}": value.clone() for name, value in model.state_dict().items()}
    return trained | {
        f"gradient {name}": None if p.grad is None else p.grad.clone()
        for name, p in model.named_parameters()
    }


def effect(before: Seen, after: Seen) -> tuple[str, bool]:
    """What the difference between two models means, in the words of `sat_config.diff`."""
    if before.shapes != after.shapes:
        return "architecture", False
    if not agree(before.results, after.results):
        return "restart", not agree(before.latents, after.latents)
    return ("harmless" if agree(before.training, after.training) else "restart"), False


def agree(one: dict[str, object], other: dict[str, object]) -> bool:
    """Whether two sets of results are the same, but for rounding."""
    return one.keys() == other.keys() and all(_agrees(one[name], other[name]) for name in one)


def _agrees(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        same = one.shape == other.shape and one.dtype == other.dtype
        return same and torch.allclose(one, other, rtol=1e-5, atol=1e-6, equal_nan=True)
    return one == other
