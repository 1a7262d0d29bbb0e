"""A diffusion transformer against stable-audio-tools' own; and what a language model's cache saves.

    python benchmarks/backbones.py eager --sat FOLDER --out benchmarks/results/backbones.txt

FOLDER is the site-packages of an environment for the same Python in which stable-audio-tools is
installed; it is put behind this environment's own. `eager` and `compiled` are the transformers
without and with torch.compile, which takes minutes; `lm` is the language model. Each takes a few
minutes and adds to the file.

Both transformers are those of Stable Audio 2.0 with 4 of its 24 layers and a third of its width,
and have the same weights; that they give the same is checked first. They take turns in one process,
and a ratio is the median over turns of SAT's time over ours. A training step is a forward and a
backward pass; a sampling step, one evaluation with guidance. bfloat16 is autocast in training, and
weights of that type in sampling. Memory is what the forward pass keeps for the backward pass: SAT
always recomputes activations, here that is a choice.
"""

import argparse
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from sat_config.audio.diffusion import DiTNode
from sat_config.audio.lm import TransformerLMNode
from sat_models.backbones.base import build_conditioned_backbone
from sat_models.backbones.conditioning import NO_CONDITIONING, Conditioning
from sat_models.backbones.dit import ConditionedDiT
from sat_models.language.backbone import build_lm_backbone
from sat_models.language.build_patterns import build_pattern
from sat_models.language.choice import TokenChoice
from sat_models.language.codes import CodeLanguageModel
from sat_models.language.generate import generate_codes
from sat_models.models.guidance import Guidance, guided

FRAMES, CONTEXT, CHANNELS = 256, 130, 64
DIT = {
    "io_channels": CHANNELS,
    "embed_dim": 512,
    "depth": 4,
    "num_heads": 8,
    "cond_token_dim": 256,
    "global_cond_dim": 512,
    "project_cond_tokens": False,
}
CODEBOOKS, CODES, LM_STEPS = 4, 1024, 512
LM = {"embed_dim": 256, "depth": 4, "dim_heads": 64}
TURNS = 7
SCALE = 6.0
LINE = "{:<10}{:<10}{:<10}{:>10}{:>10}{:>8}{:>20}"


SAID: list[str] = []


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=("eager", "compiled", "lm"), help="what to measure")
    parser.add_argument("--sat", type=Path, help="site-packages with stable-audio-tools")
    parser.add_argument("--out", type=Path, help="file to which the results are added")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    say(f"{cpu_name()}, {arguments.threads} threads, {datetime.now(UTC):%Y-%m-%d},")
    say(f"Python {platform.python_version()}, torch {torch.__version__}; not run on a GPU\n")
    if arguments.part == "lm":
        measure_cache()
    elif arguments.sat is None:
        parser.error("the transformers are compared with stable-audio-tools': --sat FOLDER")
    else:
        compare(arguments.sat, mode=arguments.part)
    if arguments.out is not None:
        with arguments.out.open("a", encoding="utf-8") as file:
            file.write("\n".join(SAID) + "\n\n")


def say(text: str) -> None:
    """Print a line, and keep it for the file."""
    print(text, flush=True)
    SAID.append(text)


def compare(site_packages: Path, *, mode: str) -> None:
    """Print the table of both transformers."""
    pair = Pair(site_packages)
    say(f"diffusion transformer: {FRAMES} frames, {CONTEXT} tokens of context; seconds per step,")
    say(f"medians of {TURNS} turns; ratio: SAT's time over ours, lowest to highest\n")
    say(LINE.format("step", "type", "mode", "ours", "SAT", "ratio", ""))
    for dtype in (torch.float32, torch.bfloat16):
        for step in ("training", "sampling"):
            pair.report(step, dtype, mode)
    if mode == "compiled":
        return
    names = ("ours", "recomputed", "SAT")
    kept = ", ".join(f"{name} {pair.kept(name) / 2**20:.0f} MiB" for name in names)
    say(f"\nkept for the backward pass, float32: {kept}")


class Pair:
    """Both transformers with the same weights, and what goes in."""

    def __init__(self, site_packages: Path) -> None:
        sys.path.append(str(site_packages))
        from stable_audio_tools.models.dit import DiffusionTransformer  # type: ignore[import]

        self.sat: nn.Module = DiffusionTransformer(**DIT)
        for parameter in self.sat.parameters():
            nn.init.normal_(parameter, std=0.02)
        node = msgspec.convert({"type": "dit", "config": DIT}, DiTNode)
        ours = build_conditioned_backbone(node)
        if not isinstance(ours, ConditionedDiT):
            raise TypeError(f"expected a diffusion transformer, got {type(ours).__name__}")
        ours.model.load_state_dict(self.sat.state_dict())
        self.ours = ours
        self.x, self.t = torch.randn(1, CHANNELS, FRAMES), torch.rand(1)
        self.context, self.whole = torch.randn(1, CONTEXT, 256), torch.randn(1, 512)
        self.conditioning = Conditioning(cross_attention=self.context, global_=self.whole)
        with torch.no_grad():
            torch.testing.assert_close(*(call() for call in self.forwards(self.ours, self.sat)))

    def forwards(self, ours: nn.Module, sat: nn.Module) -> list[Callable[[], Tensor]]:
        """One evaluation each."""
        return [
            lambda: ours(self.x, self.t, self.conditioning),
            lambda: sat(self.x, self.t, cross_attn_cond=self.context, global_embed=self.whole),
        ]

    def report(self, step: str, dtype: torch.dtype, mode: str) -> None:
        """Measure one line of the table and print it."""
        sampling = step == "sampling"
        kind = dtype if sampling else torch.float32
        networks = [self.ours.to(kind), self.sat.to(kind)]
        if mode == "compiled":
            torch.compiler.reset()
            networks = [torch.compile(network) for network in networks]
        calls = self.guided(*networks) if sampling else self.forwards(*networks)
        autocast = dtype == torch.bfloat16 and not sampling

        def train(call: Callable[[], Tensor]) -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                loss = call().float().square().mean()
            loss.backward()

        def sample(call: Callable[[], Tensor]) -> None:
            with torch.no_grad():
                call()

        run = sample if sampling else train
        ours, sat, ratios = take_turns(lambda: run(calls[0]), lambda: run(calls[1]))
        spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
        name = str(dtype).removeprefix("torch.")
        ratio = f"{statistics.median(ratios):.2f}"
        say(LINE.format(step, name, mode, f"{ours:.4f}", f"{sat:.4f}", ratio, spread))

    def guided(self, ours: nn.Module, sat: nn.Module) -> list[Callable[[], Tensor]]:
        """One evaluation each, with guidance."""
        guidance = Guidance(scale=SCALE, rescale=0.0, interval=(0.0, 1.0))
        predict = guided(ours, self.conditioning, guidance, objective=self.ours.objective)
        return [
            lambda: predict(self.x, self.t)[0],
            lambda: sat(
                self.x,
                self.t,
                cross_attn_cond=self.context,
                global_embed=self.whole,
                cfg_scale=SCALE,
            ),
        ]

    def kept(self, which: str) -> int:
        """Bytes of tensors that a forward pass keeps, weights left out."""
        self.ours.float()
        self.sat.float()
        self.ours.model.transformer.recompute = which == "recomputed"
        call = self.forwards(self.ours, self.sat)[which == "SAT"]
        network = self.sat if which == "SAT" else self.ours
        weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
        storages: dict[int, int] = {}

        def keep(x: Tensor) -> Tensor:
            storage = x.untyped_storage()
            if storage.data_ptr() not in weights:
                storages[storage.data_ptr()] = storage.nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            result = call()
        del result
        self.ours.model.transformer.recompute = False
        return sum(storages.values())


def measure_cache() -> None:
    """Print how fast a language model makes codes, with its cache and without."""
    node = msgspec.convert(
        {"type": "continuous_transformer", "codebook_pattern": "delay", "config": LM},
        TransformerLMNode,
    )
    model = CodeLanguageModel(
        build_lm_backbone(node),
        make_pattern=build_pattern(node.pattern, num_codebooks=CODEBOOKS),
        num_codebooks=CODEBOOKS,
        codebook_size=CODES,
    ).eval()
    greedy = TokenChoice(temperature=0.0, top_k=0, top_p=0.0)
    prompt = torch.zeros(1, CODEBOOKS, 0, dtype=torch.long)

    def cached() -> None:
        generate_codes(
            model,
            NO_CONDITIONING,
            prompt=prompt,
            num_frames=LM_STEPS,
            choose=greedy,
            guidance_scale=1.0,
        )

    def uncached() -> None:
        """Every step anew from all before it, as SAT does."""
        sequence = torch.zeros(1, CODEBOOKS, 1, dtype=torch.long)
        with torch.no_grad():
            for _ in range(LM_STEPS):
                logits = model(sequence, NO_CONDITIONING)[:, :, -1]
                sequence = torch.cat((sequence, greedy(logits)[..., None]), dim=-1)

    with_cache, without, ratios = take_turns(cached, uncached, turns=2)
    say(f"language model: {CODEBOOKS} codebooks, {LM_STEPS} steps; codes per second\n")
    one, other = (CODEBOOKS * LM_STEPS / seconds for seconds in (with_cache, without))
    say(f"with cache {one:.0f}, without {other:.0f}, ratio {statistics.median(ratios):.1f}")


def take_turns(
    one: Callable[[], None], other: Callable[[], None], *, turns: int = TURNS
) -> tuple[float, float, list[float]]:
    """Median seconds of each, and ratios of the other to the one, after a turn to warm up."""
    one()
    other()
    pairs = []
    for _ in range(turns):
        began = time.perf_counter()
        one()
        between = time.perf_counter()
        other()
        pairs.append((between - began, time.perf_counter() - between))
    firsts, seconds = zip(*pairs, strict=True)
    ratios = [b / a for a, b in pairs]
    return statistics.median(firsts), statistics.median(seconds), ratios


def cpu_name() -> str:
    """The processor as the system calls it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
