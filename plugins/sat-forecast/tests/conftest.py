import pathlib
import textwrap

import pytest

import sat_forecast.schema
from sat_config import plugins
from sat_models.build import load_builtin
from sat_train.family import GROUP

LAYERS = pathlib.Path(sat_forecast.schema.__file__).parent / "layers"


@pytest.fixture(scope="session", autouse=True)
def _everything_is_installed():
    plugins.load()
    load_builtin()
    load_builtin(GROUP)


@pytest.fixture
def layers():
    return LAYERS


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file in a folder that is the working directory."""
    monkeypatch.chdir(tmp_path)

    def put(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    return put
