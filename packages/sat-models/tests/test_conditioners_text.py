"""Conditioners of text that need the package transformers, with a tiny T5."""

import copy

import golden
import msgspec
import pytest
import torch

from sat_config.audio.conditioner import ConditionerNode
from sat_config.registry import current
from sat_models.conditioners.base import build_conditioner
from sat_models.errors import ConditionError

pytest.importorskip("transformers")

WIDTH, LENGTH = 512, 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models")
    golden.make_tiny_t5(path / "t5-small")
    return path


@pytest.fixture(autouse=True)
def _there(folder, monkeypatch):
    monkeypatch.chdir(folder)


def build(tag, **config):
    member = current().families[ConditionerNode].members[tag]
    node = msgspec.convert({"type": tag, "id": "prompt", "config": config}, member)
    return build_conditioner(node, cond_dim=WIDTH, sample_rate=8000, pretransform=None)


def t5(**config):
    return build("t5", t5_model_name="t5-small", max_length=LENGTH, **config)


def test_frozen_encoder_is_hidden_and_in_half_precision():
    conditioner = t5(project_out=True)
    assert set(conditioner.state_dict()) == {"proj_out.weight", "proj_out.bias"}
    assert {p.dtype for p in conditioner.hidden.module.parameters()} == {torch.float16}
    assert copy.deepcopy(conditioner).hidden.module is conditioner.hidden.module
    condition = conditioner(["warm piano", ""], device="cpu")
    assert condition.embeddings.shape == (2, LENGTH, WIDTH)
    assert condition.embeddings.dtype == torch.float32
    assert condition.mask.sum(1).tolist() == [LENGTH, 1]
    assert not condition.embeddings[1, 1:].any()
    condition.embeddings.sum().backward()
    assert conditioner.proj_out.weight.grad is not None
    assert all(p.grad is None for p in conditioner.hidden.module.parameters())


def test_trained_encoder_is_part_of_the_state_and_in_full_precision():
    conditioner = t5(enable_grad=True).train()
    assert not conditioner.model.training
    names = set(conditioner.state_dict())
    assert "model.encoder.block.0.layer.0.SelfAttention.q.weight" in names
    embeddings = conditioner(["warm piano"], device="cpu").embeddings
    embeddings.sum().backward()
    assert {p.dtype for p in conditioner.parameters()} == {torch.float32}
    assert any(p.grad is not None for p in conditioner.model.parameters())


def test_a_trained_encoder_gives_what_the_frozen_one_gives():
    one, other = (t5(enable_grad=grad)(["warm piano"], device="cpu") for grad in (False, True))
    torch.testing.assert_close(one.embeddings, other.embeddings, rtol=0.02, atol=0.02)


def test_token_tables_have_rows_for_special_tokens():
    plain = build("lut", tokenizer_name="t5-small", max_length=LENGTH)
    more = build("lut", tokenizer_name="t5-small", max_length=LENGTH, special_tokens=["[drop]"])
    assert more.token_embedder.num_embeddings == plain.token_embedder.num_embeddings + 1
    condition = more(["[drop]"], device="cpu")
    torch.testing.assert_close(condition.embeddings[0, 0], more.token_embedder.weight[-1])
    assert condition.mask.sum() == 2


def test_a_table_without_positions_is_zero_where_there_is_padding():
    condition = build("lut", tokenizer_name="t5-small", max_length=LENGTH)(["ab"], device="cpu")
    assert not condition.embeddings[0, 3:].any()


def test_what_is_no_text_is_refused():
    with pytest.raises(ConditionError, match="expected a text, got 3"):
        t5()([3], device="cpu")


def test_models_that_are_not_on_this_machine_are_named_with_the_way_to_get_them():
    with pytest.raises(ConditionError, match=r"is not on this machine.*hf download nobody/nothing"):
        build("lut", tokenizer_name="nobody/nothing")


def test_broken_folders_are_named(tmp_path):
    (tmp_path / "broken").mkdir()
    with pytest.raises(ConditionError, match="broken' cannot be read"):
        build("lut", tokenizer_name=str(tmp_path / "broken"))
