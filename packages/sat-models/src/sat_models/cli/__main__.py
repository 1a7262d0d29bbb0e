"""`python -m sat_models.cli`."""

import sys

from sat_models.cli import main

sys.exit(main())
