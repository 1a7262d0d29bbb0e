"""Feed the loader whatever a coverage-guided fuzzer comes up with, until it fails.

    uv venv ENV && uv pip install --python ENV/bin/python atheris -e packages/sat-config
    ENV/bin/python tools/fuzz_loader.py -max_total_time=600

Any text is a configuration or a report with problems that can be shown; an exception is a mistake.
The arguments are those of libFuzzer; what makes the loader fail is left in a file `crash-...`.
"""

import sys
import tempfile
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["sat_config"]):
    import sat_config
    from sat_config import errors

SUFFIXES = ("toml", "json", "ini")
FOLDER = Path(tempfile.mkdtemp())


def one_input(data: bytes) -> None:
    """Load one text with one override."""
    provider = atheris.FuzzedDataProvider(data)
    suffix = provider.PickValueInList(list(SUFFIXES))
    override = provider.ConsumeUnicodeNoSurrogates(30)
    path = FOLDER / f"a.{suffix}"
    path.write_bytes(provider.ConsumeBytes(4000))
    report = sat_config.check(path, [override] if override else [])
    errors.render(report.problems)
    if report.config is not None:
        sat_config.dumps(report.config)


if __name__ == "__main__":
    warnings.simplefilter("ignore", sat_config.ConfigWarning)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
