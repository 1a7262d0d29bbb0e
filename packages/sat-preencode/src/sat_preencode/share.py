"""How several processes divide a plan: shard by shard, each beginning with its own.

They share nothing but the folder. A process begins with the shards whose number in the plan leaves
its rank when it is divided by the number of processes, and goes on with those that nobody has
claimed. A shard has the batches that it has in a single process, so the same bytes come out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sat_preencode.errors import PreencodeError

VARIABLES = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
)
"""What torchrun sets, and what SLURM does: rank, processes in all, rank on this machine."""


@dataclass(frozen=True)
class Share:
    """Which part of a plan is a process's own.

    Attributes:
        rank: Which of the processes it is, from 0.
        processes: How many there are.
        local_rank: Which it is on its machine: which of its GPUs is its own.
    """

    rank: int = 0
    processes: int = 1
    local_rank: int = 0

    @property
    def alone(self) -> bool:
        """Whether there is one process only."""
        return self.processes == 1

    def has(self, shard: int) -> bool:
        """Whether a shard, by its place in the plan, is this process's own."""
        return shard % self.processes == self.rank


ALL = Share()
"""All of it: the share of a process that works alone."""


def share_in(environment: Mapping[str, str]) -> Share:
    """The share that torchrun or SLURM gives a process; all of it outside of them.

    Raises:
        PreencodeError: The variables contradict each other.
    """
    for rank_name, processes_name, local_name in VARIABLES:
        if rank_name in environment and processes_name in environment:
            values = [environment[rank_name], environment[processes_name]]
            values.append(environment.get(local_name, "0"))
            rank, processes, local = (int(v) if v.isdigit() else -1 for v in values)
            if not 0 <= rank < processes or local < 0:
                raise PreencodeError(
                    f"{rank_name}={values[0]}, {processes_name}={values[1]}, {local_name}="
                    f"{values[2]}: a rank from 0 to one less than the number of processes was"
                    " expected; unset them to encode with one process"
                )
            return Share(rank, processes, local)
    return ALL
