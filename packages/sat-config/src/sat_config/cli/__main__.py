"""`python -m sat_config.cli`, for where the command is not on the path."""

import sys

from sat_config.cli import main

sys.exit(main())
