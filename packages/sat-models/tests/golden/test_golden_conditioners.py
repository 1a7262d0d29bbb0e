"""Conditioners against numbers that stable-audio-tools computed (see golden.py).

Deviation: the mask of phonemes leaves out padding, there it is true everywhere.
"""

import sys

import golden
import msgspec
import pytest
import torch
from fakes import fake_module

from sat_config.audio.conditioner import ConditioningConfig
from sat_models.conditioners.multi import build_conditioners

SAMPLE_RATE = 8000


def fill_in(value, inputs, item):
    """'@name' stands for an item's row of an input."""
    if isinstance(value, dict):
        return {key: fill_in(entry, inputs, item) for key, entry in value.items()}
    named = isinstance(value, str) and value.startswith("@")
    return inputs[value[1:]][item] if named else value


@pytest.mark.parametrize("case", golden.cases("conditioner"), ids=str)
def test_conditioners_agree(case, tmp_path, monkeypatch):
    if case.name in ("cond_t5", "cond_lut"):
        pytest.importorskip("transformers")
        monkeypatch.chdir(tmp_path)
        golden.make_tiny_t5("t5-small")
    if case.name == "cond_phoneme":
        monkeypatch.setitem(sys.modules, "g2p_en", fake_module(G2p=golden.StubG2p))
    config = msgspec.convert(case.config["conditioning"], ConditioningConfig)
    conditioner = build_conditioners(config, sample_rate=SAMPLE_RATE, pretransform=None)
    case.load_into(conditioner)
    inputs = case.inputs()
    metadata = [
        fill_in(item, inputs, number) for number, item in enumerate(case.config["metadata"])
    ]
    with torch.no_grad():
        conditions = conditioner.eval()(metadata, device="cpu")
    values = {f"{key}_embeds": found.embeddings for key, found in conditions.items()}
    values |= {f"{key}_mask": found.mask for key, found in conditions.items()}
    if case.name == "cond_phoneme":
        mask = values["lyrics_mask"]
        assert mask.sum(1).tolist() == [9, 11]
        values["lyrics_mask"] = torch.ones_like(mask)
    case.check_all("forward", values)
