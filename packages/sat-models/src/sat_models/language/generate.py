"""New codes from a language model, one step after another."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sat_models.backbones.conditioning import Conditioning
from sat_models.language.choice import TokenChoice
from sat_models.language.codes import CodeLanguageModel
from sat_models.layers.transformer import TransformerCache

UNKNOWN = -1

StepCallback = Callable[[int, int], None]
"""Called after each step with the number of steps done, and that of all."""


def ignore(done: int, total: int) -> None:
    """The callback of nobody."""


@torch.no_grad()
def generate_codes(
    model: CodeLanguageModel,
    conditioning: Conditioning,
    *,
    prompt: Int[Tensor, "b q p"],
    num_frames: int,
    choose: TokenChoice,
    guidance_scale: float,
    negative: Conditioning | None = None,
    generator: torch.Generator | None = None,
    callback: StepCallback = ignore,
) -> Int[Tensor, "b q l"]:
    """Continue codes, without gradients; every step is computed once and kept in a cache.

    Deviation from SAT: its cache is never used, so that every step there costs as much as all
    before it together.

    Args:
        model: The language model, in eval mode.
        conditioning: What steers it.
        prompt: Codes to continue; without any frame (`p` = 0), codes are made from nothing.
        num_frames: Frames of the result, more than those of the prompt, which it begins with.
        choose: How codes are drawn.
        guidance_scale: 1 follows the conditions as trained, more exaggerates what they change.
        negative: What guidance moves away from; no condition if left out.
        generator: Source of the draws, on the device of the prompt.
        callback: Called after each step.

    Raises:
        ValueError: The prompt is not shorter than the result.
    """
    start = prompt.shape[-1]
    if start >= num_frames:
        raise ValueError(f"a prompt of {start} frames leaves none of {num_frames} to generate")
    pattern = model.make_pattern(num_frames)
    unknown = prompt.new_full((*prompt.shape[:2], num_frames - start), UNKNOWN)
    sequence, known = pattern.interleave(
        torch.cat((prompt, unknown), dim=-1), special_token=model.special_token, valid_only=False
    )
    first = pattern.first_step(start)
    assert first is not None  # noqa: S101 - every pattern has every frame
    guess = _Guesser(model, conditioning, negative, scale=guidance_scale)
    done = 0
    for step in range(first, pattern.num_steps):
        logits = guess(sequence[..., done:step])
        drawn = choose(logits, generator=generator)  # b q
        drawn = torch.where(known[:, step], drawn, model.special_token)
        sequence[..., step] = torch.where(
            sequence[..., step] == UNKNOWN, drawn, sequence[..., step]
        )
        done = step
        callback(step + 1 - first, pattern.num_steps - first)
    codes, _ = pattern.restore(sequence, special_token=UNKNOWN, valid_only=False)
    return codes


class _Guesser:
    """The guided guess at the next step, from the steps since the last call."""

    def __init__(
        self,
        model: CodeLanguageModel,
        conditioning: Conditioning,
        negative: Conditioning | None,
        *,
        scale: float,
    ) -> None:
        self.model, self.scale = model, scale
        self.branches: list[tuple[Conditioning, TransformerCache]] = []
        away = negative
        if away is None and conditioning.can_be_dropped:
            away = conditioning.dropped()
        wanted = [conditioning] if away is None or scale == 1 else [conditioning, away]
        if len(wanted) == 2 and wanted[0].fits(wanted[1]):
            wanted = [wanted[0].joined(wanted[1])]
            self.copies = 2
        else:
            self.copies = 1
        self.branches = [(branch, model.backbone.new_cache()) for branch in wanted]

    def __call__(self, steps: Int[Tensor, "b q s"]) -> Float[Tensor, "b q v"]:
        steps = steps.repeat(self.copies, 1, 1)
        guesses = [
            self.model(steps, conditioning, cache=cache)[:, :, -1]
            for conditioning, cache in self.branches
        ]
        both = torch.cat(guesses).chunk(max(self.copies, len(guesses)))
        if len(both) == 1:
            return both[0]
        return both[1] + (both[0] - both[1]) * self.scale
