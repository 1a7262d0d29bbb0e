"""Write the JSON Schemas that ship with sat-config, or with --check only compare them.

    python tools/schemas.py

Plug-ins are left out, whatever is installed. `schemas/` in the repository leads to the same files.
"""

import sys
from pathlib import Path

from sat_config import plugins
from sat_config.cli import main

FOLDER = Path(__file__).parents[1] / "packages/sat-config/src/sat_config/presets/schemas"

if __name__ == "__main__":
    plugins.installed = lambda: iter(())
    raise SystemExit(main(["schema", "--out", str(FOLDER), *sys.argv[1:]]))
