"""The conditioning block: all conditioners of a model."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from sat_config.audio.conditioner import ConditioningConfig
from sat_models.conditioners.base import Condition, Conditioner, Metadata, build_conditioner
from sat_models.errors import ConditionError
from sat_models.pretransforms.base import Pretransform


class MultiConditioner(nn.Module):
    """Asks every conditioner for its embeddings.

    Deviation from SAT: whether a key is missing, and its default used, is decided for each item;
    there one item without it makes all later ones of the batch use the default.
    """

    def __init__(
        self,
        conditioners: Mapping[str, Conditioner],
        *,
        default_keys: Mapping[str, str],
        pre_encoded_keys: Sequence[str],
    ) -> None:
        """Put the conditioners together.

        Args:
            conditioners: By their ids.
            default_keys: Per id, the key of the metadata to use where that of its name is missing.
            pre_encoded_keys: Ids under which the metadata has finished embeddings.
        """
        super().__init__()
        self.conditioners = nn.ModuleDict(conditioners)
        self.default_keys = dict(default_keys)
        self.pre_encoded_keys = frozenset(pre_encoded_keys)

    def forward(
        self, metadata: Sequence[Metadata], *, device: torch.device | str
    ) -> dict[str, Condition]:
        """Embed the metadata of a batch.

        Args:
            metadata: One mapping per item; a list of one value counts as that value.
            device: Where the conditioners are.

        Returns:
            What each conditioner gives, by its id.

        Raises:
            ConditionError: An item lacks a key, or a conditioner cannot read what is there.
        """
        return {name: self._condition(name, metadata, device) for name in self.conditioners}

    def _condition(
        self, name: str, metadata: Sequence[Metadata], device: torch.device | str
    ) -> Condition:
        values = [self._value(name, item) for item in metadata]
        if name in self.pre_encoded_keys:
            return Condition(_stacked(name, values).to(device), None)
        try:
            condition: Condition = self.conditioners[name](values, device=device)
        except ConditionError as error:
            raise ConditionError(f"condition {name!r}: {error}") from error
        return condition

    def _value(self, name: str, item: Metadata) -> object:
        key = name if name in item else self.default_keys.get(name, name)
        if key not in item:
            tried = f"{name!r}" if key == name else f"{name!r} nor its default {key!r}"
            of = f"{item['path']}" if "path" in item else "an item"
            raise ConditionError(
                f"the metadata of {of} has no {tried}; it has"
                f" {', '.join(map(repr, item)) or 'nothing'}. A caption lies beside its file:"
                " song.txt (the prompt) or song.json (any keys) for song.flac"
            )
        value = item[key]
        return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


def _stacked(name: str, values: Sequence[object]) -> Tensor:
    tensors = [value for value in values if isinstance(value, Tensor)]
    if len(tensors) < len(values) or len({tensor.shape for tensor in tensors}) > 1:
        raise ConditionError(
            f"condition {name!r}: pre_encoded_keys names it, so every item must have a tensor of"
            " the same shape there"
        )
    return torch.stack(tensors)


def build_conditioners(
    config: ConditioningConfig, *, sample_rate: int, pretransform: Pretransform | None
) -> MultiConditioner:
    """Build the conditioners of a model.

    Args:
        config: What stands under `conditioning`.
        sample_rate: Hz of the model's audio.
        pretransform: That of the model.

    Raises:
        MissingBuilderError: Nothing installed builds one of them.
        MissingExtraError: An optional dependency of one is not installed.
    """
    conditioners = {
        node.id: build_conditioner(
            node, cond_dim=config.cond_dim, sample_rate=sample_rate, pretransform=pretransform
        )
        for node in config.configs
    }
    return MultiConditioner(
        conditioners,
        default_keys=config.default_keys,
        pre_encoded_keys=config.pre_encoded_keys,
    )
