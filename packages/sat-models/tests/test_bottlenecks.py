"""What single bottlenecks promise besides what all of them do."""

import msgspec
import pytest
import torch

from sat_config.audio.bottleneck import BottleneckNode
from sat_config.registry import current
from sat_models.bottlenecks.base import build_bottleneck
from sat_models.bottlenecks.clusters import cluster
from sat_models.bottlenecks.residual_vq import NO_TOKEN
from sat_models.bottlenecks.straight_through import straight_through
from sat_models.bottlenecks.wasserstein import mean_discrepancy

RVQ = {"dim": 2, "codebook_size": 4, "num_quantizers": 3, "kmeans_iters": 5}
DAC = {"input_dim": 4, "n_codebooks": 4, "codebook_size": 8, "codebook_dim": 2}


def build(tag, config=None, **outer):
    member = current().families[BottleneckNode].members[tag]
    return build_bottleneck(msgspec.convert({"type": tag, "config": config or {}, **outer}, member))


def books(bottleneck):
    return [layer._codebook for layer in bottleneck.quantizer.layers]


def equal(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_straight_through_has_one_value_and_the_other_gradient():
    x = torch.tensor([1e8, -3.0], requires_grad=True)
    quantized = torch.tensor([0.1, 0.2])
    result = straight_through(x, quantized)
    equal(result.detach(), quantized)
    result.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_first_batch_of_training_starts_codebooks_at_its_clusters():
    bottleneck, features = build("rvq", {**RVQ, "codebook_size": 16}), torch.randn(2, 2, 16)
    assert all(book.initted.item() == 0 for book in books(bottleneck))
    encoding = bottleneck.encode(features)
    assert all(book.initted.item() == 1 for book in books(bottleneck))
    assert (encoding.latents - features).square().mean() < 0.1 * features.square().mean()


def test_clustering_finds_separate_groups():
    centres = torch.tensor([[10.0, 0.0], [-10.0, 0.0]])
    samples = centres.repeat_interleave(20, dim=0) + 0.1 * torch.randn(40, 2)
    means, counts = cluster(samples, num_clusters=2, iterations=10, cosine=False, synced=False)
    assert sorted(counts.tolist()) == [20, 20]
    assert sorted(means[:, 0].round().tolist()) == [-10, 10]


def test_codebooks_move_in_training_only():
    bottleneck, features = build("rvq", RVQ), torch.randn(2, 2, 16)
    bottleneck.encode(features)
    before = books(bottleneck)[0].embed.clone()
    bottleneck.eval().encode(features)
    equal(books(bottleneck)[0].embed, before)
    bottleneck.train().encode(features + 1)
    assert not torch.equal(books(bottleneck)[0].embed, before)


@pytest.mark.parametrize(
    ("config", "outer"), [({"freeze_codebook": True}, {}), ({}, {"requires_grad": False})]
)
def test_frozen_codebooks_stay_where_they_started(config, outer):
    bottleneck = build("rvq", {**RVQ, "kmeans_init": False, **config}, **outer)
    before = books(bottleneck)[0].embed.clone()
    bottleneck.encode(torch.randn(2, 2, 16))
    equal(books(bottleneck)[0].embed, before)


def test_shared_codebook_is_one():
    first, *rest = books(build("rvq", {**RVQ, "shared_codebook": True}))
    assert all(book is first for book in rest)


def test_unused_entries_are_replaced_by_vectors_of_the_batch():
    bottleneck = build("rvq", {**RVQ, "kmeans_init": False, "num_quantizers": 1})
    book = books(bottleneck)[0]
    book.embed.fill_(100.0)
    features = torch.randn(1, 2, 16)
    bottleneck.encode(features)
    batch = features[0].T
    assert all((batch == entry).all(dim=1).any() for entry in book.embed[0])


def test_left_out_codebooks_have_no_code_and_decode_to_nothing():
    config = {**RVQ, "quantize_dropout": True, "quantize_dropout_cutoff_index": 0}
    bottleneck, features = build("rvq", config), torch.randn(2, 2, 16)
    seen = set()
    for seed in range(20):
        encoding = bottleneck.encode(features, generator=torch.Generator().manual_seed(seed))
        absent = (encoding.tokens == NO_TOKEN).all(dim=2).all(dim=0)
        assert absent.tolist() == sorted(absent.tolist())
        seen.add(int(absent.sum()))
    assert seen == {0, 1, 2}
    whole = bottleneck.eval().encode_tokens(features)
    cut = whole.clone()
    cut[:, 1:] = NO_TOKEN
    equal(bottleneck.tokens_to_latents(cut), bottleneck.tokens_to_latents(whole[:, :1]))


@pytest.mark.parametrize("group", [2, 3])
def test_codebooks_are_left_out_in_groups(group):
    config = {**RVQ, "quantize_dropout": True, "quantize_dropout_multiple_of": group}
    bottleneck = build("rvq", {**config, "num_quantizers": 6})
    used = {bottleneck.quantizer._num_used(None) for _ in range(40)}
    assert used == set(range(group, 7, group))


def test_dac_dropout_quantizes_a_share_of_the_batch_by_fewer_codebooks():
    bottleneck = build("dac_rvq", {**DAC, "quantizer_dropout": 0.5})
    features = torch.randn(8, 4, 6)
    encoding = bottleneck.encode(features, generator=torch.Generator().manual_seed(2))
    whole = bottleneck.eval().encode(features).latents
    same = [torch.allclose(a, b) for a, b in zip(encoding.latents, whole, strict=True)]
    assert not all(same[:4])
    assert all(same[4:])


def test_dac_codebooks_learn_by_gradient_and_latents_commit():
    bottleneck = build("dac_rvq", DAC)
    losses = bottleneck.encode(torch.randn(2, 4, 6)).losses
    books = [quantizer.codebook.weight for quantizer in bottleneck.quantizer.quantizers]
    inner = bottleneck.quantizer.quantizers[0].in_proj.weight_v
    of_codebook = torch.autograd.grad(losses["codebook_loss"], books[0], retain_graph=True)
    assert of_codebook[0].abs().sum() > 0
    assert torch.autograd.grad(losses["commitment_loss"], inner)[0].abs().sum() > 0


def test_quantization_on_decoding_hands_out_what_came_in_and_learns_all_the_same():
    bottleneck = build("dac_rvq", {**DAC, "quantize_on_decode": True})
    features = torch.randn(2, 4, 6)
    encoding = bottleneck.encode(features)
    equal(encoding.latents, features)
    assert encoding.losses["codebook_loss"] > 0
    assert not torch.equal(bottleneck.decode(encoding.latents), features)


def test_softnorm_divides_by_the_running_deviation_and_multiplies_back():
    bottleneck = build("softnorm", {"dim": 4, "auto_scale": True})
    features = 10 * torch.randn(2, 4, 64)
    for _ in range(3000):
        bottleneck._follow(features)
    encoding = bottleneck.eval().encode(features)
    assert encoding.latents.std().item() == pytest.approx(1.0, rel=0.2)
    torch.testing.assert_close(bottleneck.decode(encoding.latents), features)


def test_frozen_softnorm_learns_nothing():
    bottleneck = build("softnorm", {"dim": 4, "auto_scale": True, "freeze": True})
    bottleneck.encode(torch.randn(2, 4, 8))
    assert not any(p.requires_grad for p in bottleneck.parameters())
    assert bottleneck.running_std.item() == 1.0


def test_softnorm_loss_is_least_for_normal_latents():
    bottleneck = build("softnorm", {"dim": 64})
    normal = torch.randn(4, 64, 200)
    losses = [bottleneck.encode(x).losses["softnorm"] for x in (normal, normal + 1, 3 * normal)]
    assert losses[0] < 0.1
    assert all(loss > 0.5 for loss in losses[1:])


def test_discrepancy_is_small_for_draws_from_a_gaussian():
    draws = torch.randn(4, 3, 200)
    generator = torch.Generator().manual_seed(1)
    near, far = (mean_discrepancy(x, generator=generator) for x in (draws, draws + 3))
    assert near < 0.01 < far


def test_dither_keeps_rounds_or_adds_noise():
    config = {"dim": 2, "levels": 5, "noise_dropout": 0.0}
    features = torch.randn(1, 2, 2000)
    noisy = build("dithered_fsq", config).encode(features).latents
    difference = noisy - features.tanh()
    assert difference.abs().max() <= 0.25
    assert difference.std() == pytest.approx(0.5 / 12**0.5, rel=0.05)
    kept = build("dithered_fsq", {**config, "noise_dropout": 1.0}).encode(features).latents
    torch.testing.assert_close(kept, features.tanh())
