import pytest

from sat_models.data.audio_dir import AudioFile
from sat_preencode.plan import Source, group, plan_items, stretches
from sat_preencode.windows import Cutting


@pytest.mark.parametrize(
    ("num_samples", "expected"),
    [
        (256, [(0, 256)]),
        (512, [(0, 256), (256, 256)]),
        (512 + 64, [(0, 256), (256, 256), (512, 64)]),
        (512 + 63, [(0, 256), (256, 256)]),
        (3, [(0, 3)]),
    ],
)
def test_stretches_follow_each_other_and_drop_only_short_tails(num_samples, expected):
    assert stretches(num_samples, sample_size=256) == expected


def source(dataset, relpath, num_samples, *, root="/here"):
    file = AudioFile(dataset, root, relpath, 9, "", None, None)
    return Source(dataset, relpath, file, num_samples, "c" * 64, {}, "d" * 64, None)


def plan(*sources, batch_size=2, limit_batches=None, whole=False):
    return plan_items(
        sources,
        cutting=Cutting(sample_size=256, hop_length=8, whole=whole, overlap=8),
        sample_rate=1000,
        batch_size=batch_size,
        limit_batches=limit_batches,
    )


def test_plan_names_items_by_dataset_file_and_sample_and_never_by_place():
    here = plan(source("music", "a/x.wav", 300))
    there = plan(source("music", "a/x.wav", 300, root="/there"))
    assert [planned.item for planned in here.items] == [planned.item for planned in there.items]
    assert here.items[0].item.id == "music/a/x.wav#000000000000"


def test_plan_counts_valid_samples_and_frames_of_a_padded_item():
    item = plan(source("m", "x.wav", 256 + 65)).items[1].item
    assert (item.num_samples, item.frames, item.valid_frames) == (65, 32, 9)
    assert (item.seconds_start, item.seconds_total) == (0.0, 1.0)


def test_plan_counts_what_it_leaves_out():
    planned = plan(source("m", "x.wav", 256 + 60), source("m", "y", 9))
    assert planned.left_out_seconds == 0.060
    assert planned.seconds == 0.265


def test_batches_cover_every_item_once_in_order():
    planned = plan(source("m", "x.wav", 5 * 256), batch_size=2)
    assert [len(batch) for batch in group(planned.items, batch_size=2)] == [2, 2, 1]
    assert (
        tuple(item for batch in group(planned.items, batch_size=2) for item in batch)
        == planned.items
    )


def test_limit_keeps_the_first_batches_and_counts_the_rest():
    sources = [source("m", name, 3 * 256 + 60) for name in ("x", "y")]
    whole, limited = plan(*sources), plan(*sources, limit_batches=2)
    assert limited.items == whole.items[:4]
    assert (limited.beyond_limit, limited.seconds) == (2, 1.024)
    assert limited.left_out_seconds == whole.left_out_seconds == 0.120
    assert plan(*sources, limit_batches=9).beyond_limit == 0


def test_whole_files_are_one_item_each_with_as_many_frames_as_they_need():
    planned = plan(source("m", "x", 1001), source("m", "y", 9), whole=True)
    assert [(p.item.num_samples, p.item.frames) for p in planned.items] == [(9, 2), (1001, 126)]
    assert planned.left_out_seconds == 0
    short, long = planned.items
    assert (short.window, long.window) == (2, 32)
    kept = [(chunk.keep_start, chunk.keep_stop) for chunk in long.windows]
    assert [start for start, _ in kept] == [0, *(stop for _, stop in kept[:-1])]
    assert kept[-1][1] == 126


def test_batches_of_whole_files_hold_windows_of_one_length_and_no_more_than_fit():
    lengths = {"a": 4000, "b": 100, "c": 256, "d": 120, "e": 256, "f": 110}
    planned = plan(*(source("m", n, size) for n, size in lengths.items()), whole=True)
    batches = [[p.item.relpath for p in batch] for batch in group(planned.items, batch_size=2)]
    assert batches == [["b", "d"], ["f"], ["a"], ["c", "e"]]
    assert all(len({p.window for p in batch}) == 1 for batch in group(planned.items, batch_size=2))
