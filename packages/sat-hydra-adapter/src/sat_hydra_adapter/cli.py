"""The `sat-hydra` command: `sat-hydra MODULE:FUNCTION [HYDRA WORDS...]`."""

import sys
from collections.abc import Sequence

from sat_config import UserError
from sat_hydra_adapter.main import hydra_main, load_task

USAGE = """\
usage: sat-hydra MODULE:FUNCTION [--config-dir FOLDER] [GROUP=NAME ...] [KEY=VALUE ...]

Compose an experiment from Hydra groups and hand it to a task, for example
  sat-hydra sat_train:fit experiment=quickstart batch_size=4
--config-dir names groups of your own; those that are shipped lie behind them.
Further words are Hydra's own: --multirun, --cfg job, --info; behind an experiment
or a model, --help lists the groups."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0 for fine, 1 for invalid input, 2 for wrong usage."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0].startswith("-"):
        wanted = bool(words) and words[0] in ("-h", "--help")
        print(USAGE, file=sys.stdout if wanted else sys.stderr)
        return 0 if wanted else 2
    try:
        application = hydra_main(load_task(words[0]))
        sys.argv = ["sat-hydra", *words[1:]]
        application()
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
