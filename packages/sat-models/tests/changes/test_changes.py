"""What `sat_config.diff` says of a change is what the change does to the model.

Every key of every node that a model is built from is given other legal values in tiny experiments.
Both models are built; names and shapes of their weights, and what they do with the same weights,
must be as the labels say.
"""

import functools
import importlib.util
import itertools
import sys
import warnings
from pathlib import Path

import msgspec
import pytest
import torch

import sat_config
from sat_config import registry, schema

RANKS = {"harmless": 0, "restart": 1, "architecture": 2}


def helper(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


documents, probes, stubs, sweep = map(helper, ("documents", "probes", "stubs", "sweep"))

FACTS = "declares what the networks are and the data must be; it does not change alone"
PROCESSES = "shows with several processes"
FILE = "names other weights, which are none in the state dict"
WIDTH = "the decoder's width changes with it"
MORE_THAN_SEEN = {
    "LatentCodec.downsampling_ratio": FACTS,
    "LatentCodec.io_channels": FACTS,
    "AutoencoderConfig.in_channels": FACTS,
    "AutoencoderConfig.out_channels": FACTS,
    "DiffusionCondConfig.io_channels": FACTS,
    "EncodedConfig.sample_rate": FACTS,
    "RVQConfig.sync_kmeans": PROCESSES,
    "RVQConfig.sync_codebook": PROCESSES,
    "RVQConfig.sync_affine_param": PROCESSES,
    "RVQConfig.distributed_replace_codes": PROCESSES,
    "RVQConfig.kmeans_iters": "acts on the first batch of all",
    "WassersteinConfig.noise_augment_dim": WIDTH,
    "DACRVQConfig.noise_augment_dim": WIDTH,
    "FSQConfig.noise_augment_dim": WIDTH,
    "DitheredFSQConfig.num_codebooks": WIDTH,
    "NormConfig.force_fp32": "shows in half precision",
    "FeedForwardConfig.dim_out": "only the width of the block can work",
    "ClapConfig.clap_ckpt_path": FILE,
    "ClapConfig.audio_model_type": "the stand-in has one network",
    "ClapConfig.enable_fusion": "the stand-in has one network",
    "EncodedConfig.pretransform_ckpt_path": FILE,
    "EncodedConfig.use_model_pretransform": "comes with another key that says what else to use",
    "SourceMixConfig.pre_encoded": "comes with other data",
    "ConditioningConfig.default_keys": "shows with metadata that lacks a key",
    "AutoencoderPretransformNode.chunked": "shows in networks that see farther than the overlap",
    "ConditioningConfig.pre_encoded_keys": "comes with other data",
}
"""Labels that say more than the small models here can show, and why."""

PUBLISHED = ("DACPretrained", "AudiocraftPretrained")
"""Nodes whose networks come with their weights."""

SWAPS = ["oobleck", "seanet", "dac", "local_attn", "taae", "dit-plain", "adp", "dance"]
SWAPS += [f"bottleneck-{name}" for name in ("tanh", "vae", "l2_norm", "wasserstein-bypass")]
SWAPS += [
    f"bottleneck-{name}" for name in ("softnorm", "rvq", "rvq_vae", "dac_rvq_vae", "fsq-projected")
]
SWAPS += ["cond-adp", "cond-adp-cfg", "diffae-dance", "diffae-dit", "lm-parallel", "lm-delay"]
"""Documents that differ in a tag."""


def item(**values):
    """Metadata of one item, for every conditioner that a document has."""
    signals = {name: torch.randn(2, 64) for name in ("guide", "sound")}
    latents = {name: torch.randn(2, 128) for name in ("kept", "second")}
    words = {"text": "warm", "words": "slow", "clap": "ab", "layer": "cde", "pooled": "ab"}
    plain = {"genre": "jazz", "year": 4, "seconds": 30, "spoken": "a, a", "own": 0.3, "wide": 0.2}
    stems = {"stems": {"vox": torch.randn(2, 64)}}
    return {**signals, **latents, **words, **plain, **stems, "same": "abc", **values}


@functools.cache
def asked():
    torch.manual_seed(1)
    stems = {"vox": torch.randn(2, 64), "drums": torch.randn(2, 64)}
    other = {"genre": "rock", "year": 8, "seconds": 9, "spoken": "b", "own": 0.6, "clap": "fgh"}
    metadata = [item(), item(**other, text="cold wind", stems=stems)]
    return {
        "codec": probes.Codec(),
        "diffusion": probes.Diffusion(),
        "latent": probes.Diffusion(frames=160),
        "conditioned": probes.Conditioned(metadata),
        "decoded": probes.Decoded(),
        "language": probes.Language(metadata),
    }


ENTRIES = {name: (kind, plain, focus) for name, kind, plain, focus in documents.entries()}
TYPED = {name: sweep.decode(plain) for name, (_, plain, _) in ENTRIES.items()}


@functools.cache
def document(name):
    kind, plain, _ = ENTRIES[name]
    return sweep.Document(plain, asked()[kind])


@functools.cache
def places():
    """Every key by the class that declares it, with the documents that are there for it."""
    found = {}
    for name, (_, _, focus) in ENTRIES.items():
        for spot in sweep.spots(TYPED[name]):
            if spot.path[: len(focus)] == focus:
                found.setdefault(spot.declared_by, []).append((name, spot))
    return found


def other_values(name, spot):
    """Configurations of a document with another value in a place."""
    plain = msgspec.json.decode(msgspec.json.encode(TYPED[name]))
    value = functools.reduce(lambda part, key: part[key], spot.path, plain)
    found = [sweep.replaced(plain, spot.path, other) for other in sweep.alternatives(spot, value)]
    return [config for config in map(sweep.decode, found) if config != TYPED[name]]


def label(cls, key):
    return f"{cls.__name__}.{key}"


MODEL = sorted(
    (pair for pair, spots in places().items() if spots[0][1].path[0] == "model"),
    key=lambda pair: label(*pair),
)
OUTSIDE = sorted({spot.path for name, spot in
                  ((n, s) for spots in places().values() for n, s in spots)
                  if name == "run" and spot.path[0] != "model" and other_values(name, spot)},
                 key=str)  # fmt: skip


@pytest.fixture(autouse=True)
def _pretrained(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.getbasetemp() / "clap"
    if not folder.exists():
        folder.mkdir()
        stubs.write_clap(folder / "clap.pt")
    monkeypatch.chdir(folder)
    for name, module in stubs.modules().items():
        monkeypatch.setitem(sys.modules, name, module)


def variants(name, spot):
    """Configurations with another value in a place, as far as a model can be built and run."""
    for config in other_values(name, spot):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # networks without a channel, signals that are short
            try:
                seen = document(name).look(config)
            except (ValueError, RuntimeError, AssertionError, IndexError, ArithmeticError):
                continue  # a combination that no model can have
        yield config, seen


def said(before, after):
    """The strongest label of all changes, and whether one of them makes latents useless."""
    changes = sat_config.diff(before, after)
    effect = max((change.effect for change in changes), key=RANKS.get)
    return effect, any(change.invalidates_latents for change in changes)


@pytest.mark.parametrize("pair", MODEL, ids=lambda pair: label(*pair))
def test_label_of_a_key_says_what_it_does(pair):
    strongest = promised = ("harmless", False)
    seldom_seen = label(*pair) in MORE_THAN_SEEN
    for number, (name, spot) in enumerate(places()[pair]):
        shown = strongest == promised != ("harmless", False)
        if number > 1 and (seldom_seen or shown):
            break  # shown, and not contradicted by a second document
        for config, seen in variants(name, spot):
            effect, useless = said(document(name).config, config)
            done, changed = sweep.effect(document(name).seen, seen)
            assert RANKS[done] <= RANKS[effect], (name, spot.path, done)
            assert useless or not changed, (name, spot.path)
            strongest = max(strongest, (done, changed), key=strength)
            promised = max(promised, (effect, useless), key=strength)
            if done == "architecture":
                return
    assert (strongest == promised) is not (seldom_seen and promised[0] != "harmless")


def strength(effect):
    return RANKS[effect[0]], effect[1]


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: ".".join(map(str, path)))
def test_keys_beside_the_model_change_no_weights(path):
    spot = next(s for s in sweep.spots(TYPED["run"]) if s.path == path)
    config, seen = next(variants("run", spot))
    assert sweep.effect(document("run").seen, seen) == ("harmless", False)
    assert said(document("run").config, config)[0] != "architecture"


@pytest.mark.parametrize(
    "pair",
    [
        pair
        for pair in itertools.combinations(SWAPS, 2)
        if type(TYPED[pair[0]]) is type(TYPED[pair[1]])
    ],
    ids="-to-".join,
)
def test_label_of_a_tag_says_what_it_does(pair):
    one, other = map(document, pair)
    effect, useless = said(one.config, other.config)
    if one.seen.shapes != other.seen.shapes:
        assert effect == "architecture"
    else:
        done, changed = sweep.effect(one.seen, one.look(other.config))
        assert (effect, useless) == (done, changed)


def test_every_key_of_a_model_is_tried():
    tried = {(spot.cls, spot.key) for spots in places().values() for _, spot in spots}
    root = registry.current().roots()[0].base
    missing = {
        label(cls, key)
        for member in registry.current().families[root].members.values()
        for cls in reachable(schema.fields(member)["model"].slot)
        for key, field in schema.fields(cls).items()
        if (field.slot.nullable or not field.slot.only_tables)
        and (cls, key) not in tried
        and not cls.__name__.startswith(PUBLISHED)
    }
    assert sorted(missing) == []


def reachable(slot, seen=None):
    """Structs that can stand in a slot, at any depth."""
    seen = set() if seen is None else seen
    for cls in slot.structs:
        if cls not in seen:
            seen.add(cls)
            for field in schema.fields(cls).values():
                reachable(field.slot, seen)
    for inner in (slot.item, slot.values):
        if inner is not None:
            reachable(inner, seen)
    return seen
