import pytest
import torch

from sat_config.audio.lm import (
    DelayPatternNode,
    MusicLMPatternNode,
    ParallelPatternNode,
    UnrollPatternNode,
)
from sat_models.language.build_patterns import build_pattern
from sat_models.language.patterns import (
    CodebookPattern,
    coarse_first_pattern,
    delay_pattern,
    musiclm_pattern,
    parallel_pattern,
    unroll_pattern,
)

PATTERNS = {
    "parallel": lambda q, n: parallel_pattern(q, n, empty_initial=0),
    "parallel-late": lambda q, n: parallel_pattern(q, n, empty_initial=2),
    "delay": lambda q, n: delay_pattern(q, n, delays=None, flatten_first=0, empty_initial=0),
    "delay-flat": lambda q, n: delay_pattern(q, n, delays=None, flatten_first=3, empty_initial=1),
    "unroll": lambda q, n: unroll_pattern(q, n, flattening=None, delays=None),
    "unroll-late": lambda q, n: unroll_pattern(q, n, flattening=None, delays=range(0, 2 * q, 2)),
    "coarse": lambda q, n: coarse_first_pattern(q, n, delays=None),
    "coarse-late": lambda q, n: coarse_first_pattern(q, n, delays=range(q - 1)),
    "musiclm": lambda q, n: musiclm_pattern(q, n, group_by=2 - q % 2),
}
every = pytest.mark.parametrize("make", PATTERNS.values(), ids=PATTERNS.keys())


def rows(pattern):
    return ["".join("." if f < 0 else str(f) for f in row) for row in pattern.frames.tolist()]


@every
@pytest.mark.parametrize(("num_codebooks", "num_frames"), [(1, 1), (1, 4), (4, 1), (4, 7), (5, 3)])
def test_what_is_laid_out_comes_back(make, num_codebooks, num_frames):
    pattern = make(num_codebooks, num_frames)
    codes = torch.randint(50, (2, num_codebooks, num_frames))
    sequence, mask = pattern.interleave(codes, special_token=99, valid_only=False)
    assert sequence.shape == (2, num_codebooks, pattern.num_steps)
    assert (sequence[:, :, 0] == 99).all()
    assert torch.equal((sequence != 99).all(0), mask)
    assert int(mask.sum()) == num_codebooks * num_frames
    restored, known = pattern.restore(sequence, special_token=99, valid_only=False)
    assert torch.equal(restored, codes)
    assert known.all()


@every
def test_guess_about_a_code_stands_one_step_before_it(make):
    pattern = make(4, 6)
    codes = torch.randint(50, (2, 4, 6))
    sequence, _ = pattern.interleave(codes, special_token=99, valid_only=False)
    logits = torch.nn.functional.one_hot(sequence[:, :, 1:], 100).movedim(-1, 1).float()
    guesses, known = pattern.restore_logits(logits, fill=0.0, valid_only=False)
    assert known.all()
    assert torch.equal(guesses.argmax(1), codes)


@every
def test_begun_sequence_comes_back_as_far_as_it_goes(make):
    pattern, codes = make(4, 6), torch.randint(50, (2, 4, 6))
    sequence, mask = pattern.interleave(codes, special_token=99, valid_only=False)
    half = pattern.num_steps // 2
    restored, known = pattern.restore(sequence[..., :half], special_token=-1, valid_only=False)
    assert int(known.sum()) == int(mask[:, :half].sum())
    assert torch.equal(restored, torch.where(known, codes, -1))


@every
def test_fewer_codes_leave_the_rest_special(make):
    pattern, codes = make(4, 6), torch.randint(50, (1, 4, 6))
    whole, mask = pattern.interleave(codes, special_token=99, valid_only=True)
    part, part_mask = pattern.interleave(codes[..., :4], special_token=99, valid_only=True)
    later = (pattern.frames >= 4)[:, : part.shape[2]]
    assert torch.equal(part_mask, mask & ~later)
    assert torch.equal(part, whole.masked_fill(later, 99))


def test_delayed_codebooks_come_one_step_after_another():
    assert rows(PATTERNS["delay"](3, 4)) == [".012345", "..01234", "...0123"]


def test_unrolled_codes_come_one_by_one():
    assert rows(PATTERNS["unroll"](3, 2)) == [".0..1..", "..0..1.", "...0..1"]


def test_coarse_codes_come_before_all_others():
    assert rows(PATTERNS["coarse-late"](3, 3)) == [".012....", "....0123", ".....012"]


def test_first_step_is_found_where_there_is_one():
    pattern = PATTERNS["delay"](3, 4)
    assert [pattern.first_step(frame) for frame in (0, 3, 9)] == [1, 4, None]


def test_pattern_follows_codes_to_another_device():
    codes = torch.zeros(1, 3, 4, dtype=torch.long, device="meta")
    sequence, mask = PATTERNS["delay"](3, 4).interleave(codes, special_token=9, valid_only=True)
    assert sequence.is_meta
    assert mask.is_meta


BROKEN = {
    "descending": (
        lambda: delay_pattern(2, 3, delays=[1, 0], flatten_first=0, empty_initial=0),
        "delays must be 2 ascending numbers; got \\[1, 0\\]",
    ),
    "count": (lambda: coarse_first_pattern(3, 3, delays=[1]), "2 ascending numbers; got \\[1\\]"),
    "flattening": (lambda: unroll_pattern(2, 3, flattening=[0], delays=None), "flattening must"),
    "unequal": (lambda: unroll_pattern(2, 3, flattening=[0, 0], delays=[0, 1]), "need one delay"),
    "groups": (lambda: musiclm_pattern(3, 3, group_by=2), "groups of 2 do not divide 3"),
    "order": (lambda: CodebookPattern(torch.tensor([[-1, 1, 0]]), 2), "must come in order"),
    "codes": (
        lambda: PATTERNS["delay"](2, 3).interleave(
            torch.zeros(1, 2, 4, dtype=torch.long), special_token=9, valid_only=False
        ),
        "2 codebooks and 3 frames; got 2 and 4",
    ),
    "sequence": (
        lambda: PATTERNS["delay"](2, 3).restore(
            torch.zeros(1, 3, 4, dtype=torch.long), special_token=9, valid_only=False
        ),
        "2 codebooks and 5 steps; got 3 and 4",
    ),
}


@pytest.mark.parametrize(("call", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_impossible_layout_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("node", "like"),
    [
        (ParallelPatternNode(empty_initial=2), "parallel-late"),
        (DelayPatternNode(flatten_first=3, empty_initial=1), "delay-flat"),
        (UnrollPatternNode(delays=(0, 2, 4, 6)), "unroll-late"),
        (MusicLMPatternNode(group_by=2), "musiclm"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_pattern_of_a_node(node, like):
    assert rows(build_pattern(node, num_codebooks=4)(5)) == rows(PATTERNS[like](4, 5))
