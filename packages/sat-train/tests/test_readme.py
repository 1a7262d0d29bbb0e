import re
from pathlib import Path

import sat_config

README = Path(__file__).parents[1] / "README.md"


def test_readme_example_runs(autoencoder_document, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    experiment = sat_config.decode(autoencoder_document)
    Path("my.toml").write_text(sat_config.dumps(experiment, format="toml"))
    exec(re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[1], {})
    assert "val/mrstft_silence 3." in capsys.readouterr().out
