# ruff: noqa: B905, C901, E501, PERF401, RUF005
"""Loader and comparer for the golden cases (needs only numpy and torch).

    import golden
    case = golden.case("ae_oobleck_snake_vae")
    module = my_factory(case.config)          # your code
    case.load_into(module)                    # key check, then the fill rule
    module.eval()
    x = case.inputs()
    torch.manual_seed(7)                      # the seed that the step's "call" text names
    latents, info = module.encode(x["audio"], return_info=True)
    case.check("encode", "latents", latents)

Cases are read from the folder that SAT_GOLDEN_DIR names, else from the copies beside this file; tests run
over `golden.cases(KIND, ...)`, so any other set in the same format runs against the same code.
Every failure raises GoldenError with a message that says what differs and where.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import pathlib
import zlib

import numpy as np
import torch

SCHEMA = 1
HERE = pathlib.Path(__file__).resolve().parent
FOLDER = pathlib.Path(os.environ.get("SAT_GOLDEN_DIR") or HERE / "cases")


class GoldenError(AssertionError):
    """A module or a value disagrees with a golden case."""


# ---------------------------------------------------------------- the fill rule

#: one-dimensional (or scalar) entries with these last name parts are "gains": they sit near 1
GAIN_NAMES = ("weight", "gamma", "scale", "gain")


def rng_for(text: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(text.encode()))


def fill_value(key: str, shape, role: str = "param") -> np.ndarray:
    """The float32 value of one state-dict entry. `key` alone decides the random stream."""
    shape = tuple(shape)
    z = np.asarray(rng_for(key).standard_normal(shape))
    last = key.rsplit(".", 1)[-1]
    if role == "one":  # e.g. the "is initialised" flag of a VQ codebook
        v = np.ones(shape)
    elif role == "ten":  # cluster sizes of an EMA codebook
        v = np.full(shape, 10.0)
    elif role == "codebook":  # EMA codebook vectors and their running sums
        v = 0.5 * z
    elif role != "param":
        raise ValueError(f"fill_value has no rule for role {role!r}")
    elif last == "weight_g":  # gains of weight-normalised layers
        v = 0.5 + 0.05 * z
    elif last == "alpha" and shape == (1,):  # the steepness of a dynamic tanh
        v = 1.0 + 0.1 * z
    elif len(shape) <= 1:
        v = 1.0 + 0.1 * z if last in GAIN_NAMES else 0.2 * z
    else:
        v = z / np.sqrt(np.prod(shape[1:]))
    return v.astype(np.float32)


def make_input(case_name: str, name: str, spec: dict) -> np.ndarray:
    """An input tensor from its rule (seeded by "<case name>/<input name>")."""
    rule = spec["rule"]
    if rule == "const":
        return np.asarray(spec["value"], dtype=spec.get("dtype", "float32"))
    rng = rng_for(spec.get("seed_text", f"{case_name}/{name}"))
    shape = tuple(spec["shape"])
    if rule == "normal":
        return (rng.standard_normal(shape) * spec.get("scale", 1.0)).astype(np.float32)
    if rule == "uniform":
        lo, hi = spec.get("low", 0.0), spec.get("high", 1.0)
        return (rng.random(shape) * (hi - lo) + lo).astype(np.float32)
    if rule == "integers":
        return rng.integers(spec["low"], spec["high"], shape).astype(np.int64)
    if rule == "audio":  # decaying harmonics plus a little noise, inside (-1, 1)
        t = np.arange(shape[-1]) / float(spec.get("sample_rate", 8000))
        out = np.zeros(shape)
        for index in np.ndindex(shape[:-1]):
            for _ in range(3):
                f, p, a = rng.uniform(60.0, 2500.0), rng.uniform(0, 6.28), rng.uniform(0.05, 0.25)
                out[index] += a * np.sin(2 * np.pi * f * t + p)
        out += 0.02 * rng.standard_normal(shape)
        return out.astype(np.float32)
    raise ValueError(f"unknown input rule {rule!r}")


# ---------------------------------------------------------------- reading a case


class Case:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.meta = json.loads(self.path.read_text())
        if self.meta["schema"] != SCHEMA:
            raise GoldenError(
                f"{self.path.name}: schema {self.meta['schema']}, this loader reads {SCHEMA}"
            )

    @functools.cached_property
    def arrays(self):
        npz = self.path.with_suffix(".npz")
        return dict(np.load(npz)) if npz.exists() else {}

    def __str__(self):
        return self.name

    # ---- plain facts
    @property
    def name(self):
        return self.meta["name"]

    @property
    def kind(self):
        return self.meta["kind"]

    @property
    def config(self):
        """A fresh deep copy (some factories modify the config that they are given)."""
        return json.loads(json.dumps(self.meta["config"]))

    @property
    def state(self):
        """[(key, shape, dtype, role), ...] in state-dict order."""
        return [(k, tuple(s), d, r) for k, s, d, r in self.meta["state"]]

    @property
    def steps(self):
        return self.meta["steps"]

    def __repr__(self):
        return f"<golden case {self.name} ({self.kind}/{self.meta['type']})>"

    # ---- inputs
    def inputs(self, dtype=torch.float32) -> dict:
        out = {}
        for name, spec in self.meta["inputs"].items():
            value = (
                self.arrays[f"in/{name}"]
                if spec["rule"] == "npz"
                else make_input(self.name, name, spec)
            )
            t = torch.from_numpy(np.array(value))
            out[name] = t.to(dtype) if t.is_floating_point() else t
        return out

    # ---- state dict
    def check_keys(self, module_or_state, order: str = "ignore") -> None:
        """Same keys, same shapes, same dtypes. order: "ignore", or "strict" for the same order too."""
        sd = module_or_state if isinstance(module_or_state, dict) else module_or_state.state_dict()
        want = {k: (s, d) for k, s, d, _ in self.state}
        lines = []
        for k in want:
            if k not in sd:
                lines.append(f"  missing      {k}  {list(want[k][0])}")
        for k in sd:
            if k not in want:
                lines.append(f"  unexpected   {k}  {list(sd[k].shape)}")
        for k, (s, d) in want.items():
            if k in sd and tuple(sd[k].shape) != s:
                lines.append(f"  wrong shape  {k}: got {list(sd[k].shape)}, want {list(s)}")
            elif k in sd and str(sd[k].dtype).replace("torch.", "") != d:
                lines.append(f"  wrong dtype  {k}: got {sd[k].dtype}, want {d}")
        if not lines and order == "strict":
            for i, (a, b) in enumerate(zip(sd, want)):
                if a != b:
                    lines.append(f"  order        position {i}: got {a}, want {b}")
                    break
        if lines:
            shown = lines[:40] + ([f"  ... and {len(lines) - 40} more"] if len(lines) > 40 else [])
            raise GoldenError(
                f"{self.name}: state dict differs from the golden one\n" + "\n".join(shown)
            )

    def filled_state(self) -> dict:
        """The complete golden state dict (filled entries and kept constants)."""
        sd, digest = {}, hashlib.sha256()
        for key, shape, dtype, role in self.state:
            if role == "keep":
                t = torch.from_numpy(np.array(self.arrays[f"state/{key}"]))
            else:
                v = fill_value(key, shape, role)
                digest.update(v.tobytes())
                t = torch.from_numpy(np.array(v)).reshape(shape)
            sd[key] = t.to(getattr(torch, dtype))
        want = self.meta.get("fill_sha256")
        if want and digest.hexdigest() != want:
            raise GoldenError(
                f"{self.name}: the fill rule gave other numbers than when the case was made; "
                f"numpy {np.__version__} may have changed default_rng().standard_normal()"
            )
        return sd

    def check_kept(self, module_or_state, rtol=1e-5, atol=1e-6) -> None:
        """Constants that a module computes for itself (filters, frequencies, windows) must agree."""
        sd = module_or_state if isinstance(module_or_state, dict) else module_or_state.state_dict()
        for key, _, _, role in self.state:
            if role == "keep":
                self._compare(f"constant {key}", sd[key], self.arrays[f"state/{key}"], rtol, atol)

    def load_into(self, module, order: str = "ignore", check_kept: bool = True) -> None:
        self.check_keys(module, order)
        if check_kept:
            self.check_kept(module)
        sd = self.filled_state()
        with torch.no_grad():
            own = module.state_dict()
            for k, v in sd.items():
                own[k].copy_(v)  # in place: also right for modules that override load_state_dict

    # ---- outputs
    def outputs(self, step: str) -> list:
        return list(self.meta["steps"][step]["outputs"])

    def expected(self, step: str, name: str) -> np.ndarray:
        return self.arrays[f"out/{step}/{name}"]

    def tolerance(self, step: str, name: str):
        t = self.meta["steps"][step]["outputs"][name]
        return t["rtol"], t["atol"]

    def check(self, step: str, name: str, value) -> None:
        rtol, atol = self.tolerance(step, name)
        self._compare(f"{step}/{name}", value, self.expected(step, name), rtol, atol)

    def check_all(self, step: str, values: dict) -> None:
        for name in self.outputs(step):
            if name not in values:
                raise GoldenError(
                    f"{self.name}: step {step} gave no {name!r} (it gave {sorted(values)})"
                )
            self.check(step, name, values[name])

    def check_grad_norms(self, step: str, module) -> None:
        """After loss.backward(): the L2 norm of the gradient of every parameter listed in `grad_keys`."""
        params = dict(module.named_parameters())
        keys = self.meta["grad_keys"]
        got = []
        for k in keys:
            if k not in params:
                raise GoldenError(f"{self.name}: {k} is not a parameter of the module")
            g = params[k].grad
            got.append(0.0 if g is None else float(g.double().norm()))
        want = self.expected(step, "norms")
        rtol, atol = self.tolerance(step, "norms")
        bad = [
            i for i in range(len(keys)) if not abs(got[i] - want[i]) <= atol + rtol * abs(want[i])
        ]
        if bad:
            lines = [f"  {keys[i]}: got {got[i]:.6g}, want {want[i]:.6g}" for i in bad[:20]]
            raise GoldenError(
                f"{self.name}: {step}: {len(bad)} of {len(keys)} gradient norms differ\n"
                + "\n".join(lines)
            )

    def _compare(self, what, got, want, rtol, atol) -> None:
        if isinstance(got, torch.Tensor):
            got = got.detach().cpu()
            got = (got.float() if got.dtype in (torch.bfloat16,) else got).numpy()
        got, want = np.asarray(got), np.asarray(want)
        if got.shape != want.shape:
            raise GoldenError(f"{self.name}: {what}: shape {got.shape}, want {want.shape}")
        if want.dtype.kind in "iub":
            bad = got.astype(np.int64) != want.astype(np.int64)
            if bad.any():
                i = tuple(int(v) for v in np.argwhere(bad)[0]) if want.ndim else ()
                raise GoldenError(
                    f"{self.name}: {what}: {int(bad.sum())} of {want.size} integers differ; "
                    f"first at {list(i)}: got {got[i]}, want {want[i]}"
                )
            return
        a, b = got.astype(np.float64), want.astype(np.float64)
        if (np.isnan(a) != np.isnan(b)).any():
            raise GoldenError(
                f"{self.name}: {what}: NaN in {int(np.isnan(a).sum())} places, want {int(np.isnan(b).sum())}"
            )
        same = (a == b) | np.isnan(b)  # also infinities
        diff = np.where(same, 0.0, np.abs(a - b))
        bad = ~(diff <= atol + rtol * np.abs(np.where(np.isfinite(b), b, 0.0)))
        if bad.any():
            i = (
                tuple(int(v) for v in np.unravel_index(int(np.argmax(diff)), diff.shape))
                if want.ndim
                else ()
            )
            scale = float(np.nanmax(np.abs(b))) if b.size else 0.0
            raise GoldenError(
                f"{self.name}: {what}: {int(bad.sum())} of {want.size} values differ; "
                f"worst at {list(i)}: got {a[i]:.7g}, want {b[i]:.7g} "
                f"(max |difference| {float(np.nanmax(diff)):.3g}, golden max |value| {scale:.3g}, "
                f"allowed {atol:.1g} + {rtol:.1g}*|want|)"
            )


@functools.cache
def case(name: str) -> Case:
    """The case of a name."""
    return Case(FOLDER / f"{name}.json")


def cases(*kinds: str) -> list[Case]:
    """All cases of some kinds, by name; a folder without a single case is a mistake."""
    found = [case(path.stem) for path in sorted(FOLDER.glob("*.json"))]
    if not found:
        raise GoldenError(
            f"no golden cases in {FOLDER}: SAT_GOLDEN_DIR names a folder of NAME.json"
        )
    return [one for one in found if one.kind in kinds]


# ---------------------------------------------------------------- fixed denoisers for the sampler cases


def toy_velocity(x, t, **_):
    """The fixed "model" of the sampler cases: takes (x, t) with t of shape (batch,), gives a velocity."""
    tt = t.reshape(-1, *([1] * (x.ndim - 1))).to(x.dtype)
    return torch.tanh(x * (1.0 + tt)) * (1.0 - 0.5 * tt) - 0.3 * x * torch.cos(2.0 * tt)


def toy_velocity_info(x, t, return_info=False, **_):
    """The same with the side output that the cfg++ sampler asks for."""
    v = toy_velocity(x, t)
    return (v, {"uncond_output": 0.8 * v + 0.05}) if return_info else v


def probe_loss(y):
    """The scalar that every gradient step backpropagates from."""
    y = y if isinstance(y, (list, tuple)) else [y]
    return sum(
        (v * torch.sin(0.1 * torch.arange(v.numel(), dtype=v.dtype)).reshape(v.shape)).sum()
        for v in y
    )


# ---------------------------------------------------------------- a tiny T5 for the text-conditioner cases


def make_tiny_t5(folder, d_model=512, seed_text="tiny-t5"):
    """Write a one-layer T5 encoder and a character tokenizer into `folder` (needs transformers and tokenizers).

    Point the text conditioner at it, e.g. by running with the parent folder as working directory and the
    folder named "t5-small", whose width 512 it has. All weights follow the fill rule with the key prefix
    "tiny-t5.".
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    vocab = {"<pad>": 0, "</s>": 1, "<unk>": 2}
    for ch in "abcdefghijklmnopqrstuvwxyz ,.0123456789":
        vocab[ch] = len(vocab)
    tok = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tok.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tok.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tok,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=512,
    )
    fast.save_pretrained(folder)
    cfg = T5Config(
        vocab_size=64,
        d_model=d_model,
        d_kv=16,
        d_ff=32,
        num_layers=1,
        num_heads=2,
        feed_forward_proj="relu",
        dropout_rate=0.0,
    )
    model = T5EncoderModel(cfg).eval()
    with torch.no_grad():
        for k, p in model.named_parameters():
            v = fill_value(f"{seed_text}.{k}", p.shape)
            if "layer_norm" not in k and "relative_attention_bias" not in k:
                v = v * (1.0 if "shared" in k or "embed_tokens" in k else 0.7)
            p.copy_(torch.from_numpy(v))
    model.save_pretrained(folder)
    return folder


class StubG2p:
    """Stands in for g2p_en.G2p in the phoneme-conditioner case: letters are their own phonemes."""

    def __init__(self):
        self.phonemes = ["<pad>", "<unk>", "<s>", "</s>"] + list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        self.p2idx = {p: i for i, p in enumerate(self.phonemes)}

    def __call__(self, text):
        return list(text.upper())
