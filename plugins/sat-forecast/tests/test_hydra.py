import pytest

import sat_config
from sat_hydra_adapter import compose

GROUPS = {
    "model/lstm.yaml": "# @package _global_\nmodel: {name: TrafficLSTM, lstm: {hidden_size: 8}}\n",
    "data/ring.yaml": "multi_vd_mode: true\nnum_vds: 3\n",
    "config.yaml": "defaults: [{model: lstm}, {data: ring}]\n",
}


@pytest.fixture
def groups(write):
    paths = [write(name, text) for name, text in GROUPS.items()]
    return paths[-1].parent


def test_hydra_composes_a_forecaster(groups):
    composed = compose(groups, ["training.epochs=3", "batch_size=5"])
    assert composed == sat_config.decode(
        {
            "model": {"name": "TrafficLSTM", "lstm": {"hidden_size": 8}},
            "data": {"multi_vd_mode": True, "num_vds": 3},
            "training": {"epochs": 3},
            "batch_size": 5,
        }
    )
    assert composed.model.lstm.input_size == 9


def test_mistake_names_group_and_line(groups):
    (groups / "data/ring.yaml").write_text("multi_vd_mode: true\nnum_vds: many\n")
    with pytest.raises(sat_config.ConfigError, match=r"data/ring\.yaml:2:10: error"):
        compose(groups)
