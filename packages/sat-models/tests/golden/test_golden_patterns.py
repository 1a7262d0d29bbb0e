"""Our codebook patterns against layouts that stable-audio-tools made (see golden.py)."""

import golden
import pytest

from sat_models.language.patterns import (
    delay_pattern,
    musiclm_pattern,
    parallel_pattern,
    unroll_pattern,
)

PROVIDERS = {
    "ParallelPatternProvider": (parallel_pattern, {"empty_initial": 0}),
    "DelayedPatternProvider": (
        delay_pattern,
        {"delays": None, "flatten_first": 0, "empty_initial": 0},
    ),
    "UnrolledPatternProvider": (unroll_pattern, {"flattening": None, "delays": None}),
    "MusicLMPattern": (musiclm_pattern, {"group_by": 2}),
}


def make_pattern(config):
    function, defaults = PROVIDERS[config["provider"]]
    options = {k: v for k, v in config["kwargs"].items() if k != "n_q"}
    return function(config["kwargs"]["n_q"], config["timesteps"], **defaults | options)


@pytest.mark.parametrize("case", golden.cases("codebook_pattern"), ids=str)
def test_pattern_agrees(case):
    pattern, x = make_pattern(case.config), case.inputs()

    steps, codebooks = (pattern.frames.T >= 0).nonzero(as_tuple=True)
    coords = [[s, pattern.frames[q, s], q] for s, q in zip(steps, codebooks, strict=True)]
    case.check_all("layout", {"steps": pattern.num_steps, "coords": coords})

    sequence, mask = pattern.interleave(x["codes"], special_token=99, valid_only=False)
    case.check_all("build", {"sequence": sequence, "mask": mask})
    valid, valid_mask = pattern.interleave(x["codes"], special_token=99, valid_only=True)
    case.check_all("build_valid", {"sequence": valid, "mask": valid_mask})
    codes, restored = pattern.restore(sequence, special_token=-1, valid_only=False)
    case.check_all("revert", {"codes": codes, "mask": restored})

    logits = x["logits"][..., : pattern.num_valid_steps]
    guesses, guessed = pattern.restore_logits(logits, fill=float("nan"), valid_only=True)
    case.check_all("revert_logits", {"logits": guesses, "mask": guessed})
    at = [pattern.first_step(frame) or -1 for frame in range(pattern.num_frames)]
    case.check_all("first_step", {"at": at})
