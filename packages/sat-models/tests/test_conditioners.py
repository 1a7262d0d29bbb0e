import copy
import os
import sys

import golden
import msgspec
import pytest
import torch
from fakes import fake_module
from torch import nn

from sat_config import MissingExtraError
from sat_config.audio.conditioner import ConditionerNode, ConditioningConfig
from sat_config.audio.pretransform import PatchedNode
from sat_config.registry import current
from sat_models.build import load_builtin
from sat_models.conditioners.base import Condition, build_conditioner
from sat_models.conditioners.multi import build_conditioners
from sat_models.conditioners.routes import Routes
from sat_models.errors import CheckpointError, ConditionError
from sat_models.extras import import_extra
from sat_models.pretransforms.base import build_pretransform

PATCHED = {"type": "patched", "config": {"channels": 1, "patch_size": 4}}
WIDTH = 6


def build(tag, pretransform=None, **config):
    member = current().families[ConditionerNode].members[tag]
    node = msgspec.convert({"type": tag, "id": "it", "config": config}, member)
    return build_conditioner(node, cond_dim=WIDTH, sample_rate=8000, pretransform=pretransform)


def block(configs, **options):
    mapping = {"cond_dim": WIDTH, "configs": configs, **options}
    config = msgspec.convert(mapping, ConditioningConfig)
    return build_conditioners(config, sample_rate=8000, pretransform=None)


def embed(conditioner, *values):
    return conditioner(list(values), device="cpu").embeddings


def patched(channels=1):
    config = {"channels": channels, "patch_size": 4}
    node = msgspec.convert({"type": "patched", "config": config}, PatchedNode)
    return build_pretransform(node, sample_rate=8000)


def test_every_conditioner_has_a_builder_of_its_own():
    load_builtin()
    members = current().families[ConditionerNode].members.values()
    assert not [member for member in members if member not in build_conditioner.registry]


def test_integers_are_counted_from_the_least():
    embeddings = embed(build("int", min_val=-2, max_val=1), -9, -2, -1.0, 1, 7)
    assert torch.equal(embeddings[0], embeddings[1])
    assert not torch.equal(embeddings[1], embeddings[2])
    assert torch.equal(embeddings[3], embeddings[4])


def test_numbers_are_limited_and_may_be_texts():
    embeddings = embed(build("number", min_val=1, max_val=3), 0, 1, "2", 2.0, 5, 3)
    assert embeddings.shape == (6, 1, WIDTH)
    for one, other in ((0, 1), (2, 3), (4, 5)):
        assert torch.equal(embeddings[one], embeddings[other])


@pytest.mark.parametrize("value", ["many", None, float("nan"), [1, 2]])
@pytest.mark.parametrize("tag", ["int", "number"])
def test_what_is_no_number_is_refused(tag, value):
    with pytest.raises(ConditionError, match="expected a number, got"):
        embed(build(tag), value)


def test_unknown_options_share_an_embedding():
    embeddings = embed(build("list", options=["a", 2]), "a", 2, "b", None)
    assert torch.equal(embeddings[2], embeddings[3])
    assert len({tuple(row.flatten().tolist()) for row in embeddings}) == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_in_the_dtype_of_the_weights(dtype):
    for tag, config in (("int", {}), ("number", {}), ("list", {"options": ["a"]})):
        assert embed(build(tag, **config).to(dtype), 0.5).dtype == dtype


def test_phonemes_are_padded_and_masked(monkeypatch):
    monkeypatch.setitem(sys.modules, "g2p_en", fake_module(G2p=golden.StubG2p))
    conditioner = build("phoneme")
    condition = conditioner(["a, a", ""], device="cpu")
    assert condition.embeddings.shape == (2, 4, WIDTH)
    assert condition.mask.tolist() == [[True] * 4, [False] * 4]
    a, comma, space, again = condition.embeddings[0]
    assert torch.equal(a, again)
    assert torch.equal(comma, space)
    with pytest.raises(ConditionError, match="expected a text, got 3"):
        embed(conditioner, 3)


def test_data_that_phonemes_need_and_that_is_missing_is_named(monkeypatch):
    class Untagged(golden.StubG2p):
        def __call__(self, text):
            raise LookupError("Resource averaged_perceptron_tagger_eng not found.")

    monkeypatch.setitem(sys.modules, "g2p_en", fake_module(G2p=Untagged))
    with pytest.raises(ConditionError, match=r"conditioner 'it' .* nltk\.downloader cmudict"):
        build("phoneme")


@pytest.mark.parametrize(("width", "projected"), [(4, False), (WIDTH, True)])
def test_second_signals_are_encoded_and_projected_along_channels(width, projected):
    own = patched()
    conditioner = build(
        "pretransform", own, output_dim=width, sample_rate=8000, use_model_pretransform=True
    )
    audio = torch.randn(2, 8)
    condition = conditioner([audio, -audio], device="cpu")
    latents = own.encode(audio.mean(0)[None, None])[0]
    want = conditioner.proj_out(latents.T).T if projected else latents
    assert condition.embeddings.shape == (2, width, 2)
    torch.testing.assert_close(condition.embeddings[0], want)
    assert condition.mask.all()


def test_signals_of_different_shapes_are_refused():
    conditioner = build("pretransform", sample_rate=8000, pretransform_config=PATCHED)
    with pytest.raises(ConditionError, match=r"one shape, got \(1, 8\), \(1, 4\)"):
        embed(conditioner, torch.zeros(1, 8), torch.zeros(1, 4))
    with pytest.raises(ConditionError, match=r"channels and samples, got \(8,\)"):
        embed(conditioner, torch.zeros(8))


def mixer(**config):
    config = {"sample_rate": 8000, "pretransform_config": PATCHED, **config}
    return build("source_mix", source_keys=["vox", "drums"], **config)


def test_sources_are_added_up():
    conditioner = mixer()
    vox, drums = torch.randn(1, 8), torch.randn(1, 8)
    both, one, other = embed(
        conditioner, {"vox": vox, "drums": drums}, {"vox": vox}, {"drums": drums}
    )
    torch.testing.assert_close(both, one + other)
    assert not any(p.requires_grad for p in conditioner.proj_out.parameters())


def test_sources_may_be_as_wide_as_the_mix_and_encoded_already():
    conditioner = mixer(output_dim=4, pre_encoded=True)
    latents = torch.randn(4, 3)
    torch.testing.assert_close(
        embed(conditioner, {"vox": latents})[0], conditioner.source_heads[0](latents)
    )


def test_items_without_sources_need_an_embedding_for_that():
    with pytest.raises(ConditionError, match="none of the sources vox, drums"):
        embed(mixer(), {"flute": torch.zeros(1, 8)})
    null = mixer(allow_null_source=True, source_length=2)
    assert embed(null, {}).shape == (1, WIDTH, 2)
    with pytest.raises(ConditionError, match="equally long, got 2, 3 frames"):
        embed(null, {}, {"vox": torch.zeros(1, 12)})


def test_hidden_parts_are_no_part_of_the_state_and_are_shared_by_copies():
    own = patched()
    conditioner = build("pretransform", own, sample_rate=8000, use_model_pretransform=True)
    assert set(conditioner.state_dict()) == {"proj_out.weight", "proj_out.bias"}
    assert copy.deepcopy(conditioner).hidden.module is own


def test_a_missing_model_pretransform_is_refused():
    with pytest.raises(ConditionError, match="model's pretransform, but there is none"):
        build("pretransform", sample_rate=8000, use_model_pretransform=True)


def test_default_keys_are_for_items_that_lack_the_key():
    conditioner = block(
        [{"type": "int", "id": name, "config": {}} for name in ("one", "two")],
        default_keys={"two": "one"},
    )
    found = conditioner([{"one": 3}, {"one": 3, "two": [5]}], device="cpu")["two"].embeddings
    table = conditioner.conditioners["two"].int_embedder.weight
    torch.testing.assert_close(found[:, 0], table[[3, 5]])


def test_missing_keys_are_named():
    config = [{"type": "int", "id": "bpm", "config": {}}]
    with pytest.raises(ConditionError, match="no 'bpm'; it has 'key', 'mood'"):
        block(config)([{"key": 1, "mood": 2}], device="cpu")
    with pytest.raises(ConditionError, match="no 'bpm' nor its default 'tempo'; it has nothing"):
        block(config, default_keys={"bpm": "tempo"})([{}], device="cpu")


def test_unreadable_values_are_refused_naming_the_condition():
    with pytest.raises(ConditionError, match="condition 'bpm': expected a number, got 'fast'"):
        block([{"type": "int", "id": "bpm", "config": {}}])([{"bpm": "fast"}], device="cpu")


def test_pre_encoded_keys_pass_tensors_on():
    conditioner = block([{"type": "int", "id": "x", "config": {}}], pre_encoded_keys=["x"])
    tensor = torch.randn(3, 2)
    found = conditioner([{"x": tensor}, {"x": [tensor]}], device="cpu")["x"]
    assert found.mask is None
    torch.testing.assert_close(found.embeddings, torch.stack((tensor, tensor)))
    with pytest.raises(ConditionError, match="'x': pre_encoded_keys names it"):
        conditioner([{"x": 3}], device="cpu")


def conditions():
    mask = torch.tensor([[True, True, False]] * 2)
    return {
        "text": Condition(torch.randn(2, 3, WIDTH), mask),
        "bpm": Condition(torch.randn(2, 1, WIDTH), torch.ones(2, 1, dtype=torch.bool)),
        "vector": Condition(torch.randn(2, WIDTH), None),
        "signal": Condition(torch.randn(2, 4, 9), None),
    }


def test_routes_join_conditions():
    found = conditions()
    routes = Routes(
        cross_attention=("text", "bpm", "vector"),
        global_=("bpm", "vector"),
        prepend=("text",),
        input_concat=("signal", "signal"),
    )
    led = routes.lead(found)
    assert led.cross_attention.shape == (2, 5, WIDTH)
    assert led.cross_attention_mask[0].tolist() == [True, True, False, True, True]
    torch.testing.assert_close(led.cross_attention[:, 3:4], found["bpm"].embeddings)
    assert led.global_.shape == (2, 2 * WIDTH)
    assert led.prepend is not None
    assert led.input_concat.shape == (2, 8, 9)
    assert Routes().lead(found).cross_attention is None


@pytest.mark.parametrize(
    ("routes", "message"),
    [
        (Routes(prepend=("lyrics",)), "no condition 'lyrics', only 'text', 'bpm'"),
        (Routes(global_=("text",)), "'text' has 3 tokens; a global condition has one"),
        (Routes(input_concat=("vector",)), r"'vector' has the shape \(2, 6\)"),
    ],
)
def test_conditions_that_do_not_fit_their_way_are_refused(routes, message):
    with pytest.raises(ConditionError, match=message):
        routes.lead(conditions())


def test_missing_packages_are_named_with_what_brings_them(monkeypatch):
    with pytest.raises(MissingExtraError, match=r"text 'it' needs .*'sat-models\[text\]'"):
        import_extra("no_such_package.part", extra="text", purpose="text 'it'")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match="the text conditioner 'it' needs the package"):
        build("t5")


class StubClap(nn.Module):
    """What of laion_clap is used, with embeddings that are easy to predict."""

    def __init__(self, enable_fusion, amodel, device):
        super().__init__()
        self.model = nn.Module()
        self.model.text_branch = StubText()
        self.model.audio_branch = nn.Linear(1, 512)

    def tokenizer(self, texts):
        ids = torch.tensor([[len(text), 1] for text in texts])
        return {"input_ids": ids, "attention_mask": (ids > 0).long()}

    def get_text_embedding(self, texts, use_tensor):
        assert len(texts) > 1
        return self.model.text_branch.table.weight[[len(text) for text in texts], :512]

    def get_audio_embedding_from_data(self, audio, use_tensor):
        return self.model.audio_branch(audio.mean(1, keepdim=True))


class StubText(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(9, 768)

    def forward(self, input_ids, attention_mask, output_hidden_states):
        hidden = self.table(input_ids)
        return {"hidden_states": (hidden, 2 * hidden)}


@pytest.fixture
def clap(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "laion_clap", fake_module(CLAP_Module=StubClap))
    path = tmp_path / "clap.pt"
    weights = StubClap(True, "HTSAT-base", "cpu").model.state_dict()
    torch.save({"state_dict": {f"module.{name}": value for name, value in weights.items()}}, path)
    return {"clap_ckpt_path": str(path)}, weights


def test_clap_embeds_texts(clap):
    config, weights = clap
    conditioner = build("clap_text", output_dim=512, **config)
    embeddings = embed(conditioner, "four")
    torch.testing.assert_close(embeddings[0], weights["text_branch.table.weight"][4:5, :512])
    assert not conditioner.state_dict()
    assert not embeddings.requires_grad


def test_clap_gives_features_of_a_layer(clap):
    config, weights = clap
    conditioner = build("clap_text", use_text_features=True, feature_layer_ix=0, **config)
    condition = conditioner(["four", ""], device="cpu")
    assert condition.mask.tolist() == [[True, True], [False, True]]
    table = weights["text_branch.table.weight"]
    torch.testing.assert_close(condition.embeddings[0, 0], conditioner.proj_out(table[4]))


def test_clap_that_is_trained_is_part_of_the_state(clap):
    config, _ = clap
    conditioner = build("clap_text", finetune=True, **config)
    assert "model.model.text_branch.table.weight" in conditioner.state_dict()
    embed(conditioner, "a", "b").sum().backward()
    assert all(p.grad is not None for p in conditioner.parameters())


def test_clap_embeds_audio(clap):
    config, weights = clap
    conditioner = build("clap_audio", output_dim=512, **config)
    embeddings = embed(conditioner, torch.full((2, 800), 0.5))
    mean = torch.nn.functional.linear(
        torch.tensor([0.5]), weights["audio_branch.weight"], weights["audio_branch.bias"]
    )
    assert embeddings.shape == (1, 1, 512)
    assert (embeddings[0, 0] - mean).abs().max() < 0.05
    with pytest.raises(ConditionError, match="equally long"):
        embed(conditioner, torch.zeros(1, 8), torch.zeros(1, 9))
    asked = conditioner.with_audio("a.wav", read=lambda *words: words)
    assert asked == ("a.wav", 1, 1)
    with pytest.raises(ConditionError, match="expected the name of an audio file, got 3"):
        conditioner.with_audio(3, read=lambda *words: words)


def test_clap_weights_that_do_not_fit_are_refused(clap, tmp_path):
    torch.save({"state_dict": {"logit_scale": torch.zeros(())}}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"lacks 1 weights, the first is text_branch\.table"):
        build("clap_text", clap_ckpt_path=str(tmp_path / "other.pt"))


def test_parts_that_clap_takes_from_the_hub_are_looked_for_here_only(clap, monkeypatch):
    def build_clap(**options):
        assert os.environ["HF_HUB_OFFLINE"] == "1"
        raise OSError("We couldn't connect to 'https://huggingface.co'")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setitem(sys.modules, "laion_clap", fake_module(CLAP_Module=build_clap))
    with pytest.raises(ConditionError, match="is not there; fetch it once with: hf download rob"):
        build("clap_text", **clap[0])
    assert "HF_HUB_OFFLINE" not in os.environ
