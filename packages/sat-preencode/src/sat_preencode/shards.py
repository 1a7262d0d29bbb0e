"""Which item goes into which shard: decided and written down before the first is encoded.

A plan that is there stays as it is, so a continuation has the same shards, batches and bytes. What
is new goes into new shards with numbers of their own; a shard of which an item has changed or gone
is planned anew as a whole, under a new number, and no name ever has two contents.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import msgspec

from sat_preencode.plan import Item, Plan, PlannedItem, group


class Row(Item, kw_only=True):
    """A line of the plan: an item and where it goes.

    Attributes:
        shard: Number of its shard.
        batch: Number of its batch within the shard.
        settings: Fingerprint of what its latents depend on besides its audio.
    """

    shard: int
    batch: int
    settings: str


@dataclass(frozen=True)
class Shard:
    """What is encoded, written and claimed as a whole.

    Attributes:
        number: Its number, and its name.
        batches: Its items in the order in which they are written, by batch.
        settings: Fingerprint of what its latents depend on besides their audio.
    """

    number: int
    batches: tuple[tuple[PlannedItem, ...], ...]
    settings: str

    @cached_property
    def items(self) -> tuple[PlannedItem, ...]:
        """Its items in order."""
        return tuple(planned for batch in self.batches for planned in batch)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """Its lines of the plan."""
        return tuple(
            Row(
                **msgspec.structs.asdict(planned.item),
                shard=self.number,
                batch=number,
                settings=self.settings,
            )
            for number, batch in enumerate(self.batches)
            for planned in batch
        )


def lay_out(
    plan: Plan,
    *,
    there: Sequence[Row],
    settings: str,
    shard_size: int,
    next_number: int,
) -> tuple[Shard, ...]:
    """Put every item into a shard.

    A shard of the old plan stays, with its batches, if none of its items has changed.

    Args:
        plan: All items.
        there: The old plan; empty at the first start.
        settings: Fingerprint of what latents depend on besides their audio.
        shard_size: Items per shard; the batch that reaches it is the shard's last one.
        next_number: Number of the first new shard.
    """
    items = {planned.item.id: planned for planned in plan.items}
    shards = []
    for number, rows in groupby(there, key=lambda row: row.shard):
        if batches := _batches(list(rows), items, settings=settings):
            shards.append(Shard(number, batches, settings))
    kept = {planned.item.id for shard in shards for planned in shard.items}
    rest = [planned for planned in plan.items if planned.item.id not in kept]
    new = group(rest, batch_size=plan.batch_size)
    for number, part in enumerate(_cut(new, shard_size), start=next_number):
        shards.append(Shard(number, part, settings))
    return tuple(shards)


def _batches(
    rows: Sequence[Row], items: Mapping[str, PlannedItem], *, settings: str
) -> tuple[tuple[PlannedItem, ...], ...]:
    """The batches of an old shard, or none if it does not fit what is planned now."""
    batches: dict[int, list[PlannedItem]] = defaultdict(list)
    for row in rows:
        planned = items.get(row.id)
        if planned is None or row.settings != settings or item_of(row) != planned.item:
            return ()
        batches[row.batch].append(planned)
    return tuple(tuple(batch) for batch in batches.values())


def item_of(row: Row) -> Item:
    """The item alone, without where it goes."""
    return Item(**{name: getattr(row, name) for name in Item.__struct_fields__})


def _cut(
    batches: Sequence[tuple[PlannedItem, ...]], shard_size: int
) -> Iterator[tuple[tuple[PlannedItem, ...], ...]]:
    part: list[tuple[PlannedItem, ...]] = []
    for batch in batches:
        part.append(batch)
        if sum(map(len, part)) >= shard_size:
            yield tuple(part)
            part = []
    if part:
        yield tuple(part)
