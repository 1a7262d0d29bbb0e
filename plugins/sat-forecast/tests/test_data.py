import h5py
import numpy as np
import pytest
import torch

import sat_config
from sat_config.errors import UserError
from sat_forecast import series as series_module
from sat_forecast import windows
from sat_forecast.schema import ForecastData
from sat_forecast.series import Series, read_series, synthetic


def data(**settings):
    return sat_config.decode(settings, type=ForecastData)


def module(settings, *, seed=0, **more):
    given = {"batch_size": 16, "epochs": 2, "seed": seed, "first_batch": 0}
    given |= {"rank": 0, "world_size": 1, **more}
    return windows.ForecastDataModule(settings, series=read_series(settings, seed=0), **given)


def test_made_up_days_are_seeded_and_detectors_lag():
    first, again, other = (synthetic(seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.values, again.values)
    assert not torch.equal(first.values, other.values)
    assert first.values.shape == (576, 5, 3)
    assert 0.01 < 1 - first.valid.float().mean() < 0.03
    volume = first.values[..., 0].unfold(0, 12, 1).mean(-1)
    peaks = volume[:150].argmax(0)  # the morning's rush hour
    assert 4 <= peaks[4] - peaks[0] <= 12
    assert first.values.min() >= 0


@pytest.fixture
def arrays():
    random = np.random.default_rng(0)
    values = random.random((60, 3, 2)).astype(np.float32)
    values[5, 1, 0] = np.nan
    return {
        "data/features": values,
        "metadata/vdids": np.array(["a", "b", "c"]),
        "metadata/feature_names": np.array(["volume", "speed"]),
        "metadata/timestamps": 1_700_000_000 + 300 * np.arange(60),
    }


def save(path, arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
        return
    with h5py.File(path, "w") as file:
        for key, value in arrays.items():
            file[key] = value.astype("S") if value.dtype.kind == "U" else value


@pytest.mark.parametrize("name", ["feed.npz", "feed.h5"])
def test_file_is_read(tmp_path, arrays, name):
    save(tmp_path / name, arrays)
    settings = data(
        source="file",
        path=str(tmp_path / name),
        features=["speed", "volume"],
        multi_vd_mode=True,
        num_vds=2,
        selected_vdids=["c", "b"],
    )
    found = read_series(settings, seed=0)
    assert (found.vdids, found.features) == (("c", "b"), ("speed", "volume"))
    assert found.values[7, 0, 1].item() == arrays["data/features"][7, 2, 0]
    assert not found.valid[5, 1, 1]
    assert found.valid.sum() == 60 * 2 * 2 - 1
    # 2023-11-14 22:13:20 UTC was a Tuesday
    assert found.clock[0].item() == pytest.approx(24 * 60 + 22 * 60 + 13 + 1 / 3, abs=0.01)


def test_times_may_be_text():
    found = series_module._minutes(np.array([b"2026-11-23T00:10:00"]))
    assert found.tolist() == [10]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"features": ["volume", "wind"]}, "no feature 'wind'; there are volume, speed"),
        ({"selected_vdids": ["z"]}, "no detector 'z'; there are a, b, c"),
        ({"num_vds": 4, "multi_vd_mode": True}, "num_vds is 4, but there are 3 detectors"),
        ({"path": "nowhere.npz"}, "there is no file"),
    ],
)
def test_what_is_not_in_the_file_is_told(tmp_path, arrays, change, words):
    save(tmp_path / "feed.npz", arrays)
    settings = {"source": "file", "path": str(tmp_path / "feed.npz"), "features": ["volume"]}
    with pytest.raises(UserError, match=words):
        read_series(data(**(settings | change)), seed=0)


def test_file_of_another_shape_is_told(tmp_path, arrays):
    save(tmp_path / "feed.npz", {**arrays, "metadata/vdids": np.array(["a"])})
    settings = data(source="file", path=str(tmp_path / "feed.npz"), features=["volume"])
    with pytest.raises(UserError, match=r"\(60, 3, 2\), but there are 1 vdids and 2"):
        read_series(settings, seed=0)
    (tmp_path / "cut.h5").write_bytes(b"not hdf5")
    with pytest.raises(UserError, match=r"cut\.h5: .*expected data/features"):
        read_series(data(source="file", path=str(tmp_path / "cut.h5"), features=["v"]), seed=0)


def test_windows_follow_each_other_and_targets_follow_windows():
    settings = data(sequence_length=6, prediction_length=2, stride=3)
    found = module(settings).windows
    batch = found.batch(torch.tensor([0, 1]))
    assert (batch.inputs.shape, batch.targets.shape) == ((2, 6, 3), (2, 2, 3))
    torch.testing.assert_close(batch.inputs[1, :3], batch.inputs[0, 3:])
    torch.testing.assert_close(batch.targets[0], found.values[6:8])
    torch.testing.assert_close(batch.last, batch.inputs[:, -1])
    assert found.starts[-1] + 8 <= len(found.values)


def test_scaler_knows_the_training_share_alone():
    settings = data()
    made = synthetic(seed=0)
    share = made.values[: round(576 * 0.7), :1], made.valid[: round(576 * 0.7), :1]
    expected = share[0][..., 0][share[1][..., 0]]
    scaler = module(settings).scaler
    torch.testing.assert_close(scaler.center[0], expected.mean())
    again = scaler.undo(scaler.apply(made.values))
    torch.testing.assert_close(again, made.values, atol=1e-3, rtol=1e-5)


def test_smallest_and_largest_become_zero_and_one():
    found = module(data(normalization_method="minmax")).windows
    read = found.values[found.valid.bool()]
    assert (read.min(), read.max()) == (0, 1)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("zero", [0.0, 2.0, 0.0, 0.0, 8.0, 0.0]),
        ("forward", [0.0, 2.0, 2.0, 2.0, 8.0, 8.0]),
        ("interpolate", [2.0, 2.0, 4.0, 6.0, 8.0, 8.0]),
    ],
)
def test_gaps_are_filled(method, expected):
    values = torch.tensor([9.0, 2, 9, 9, 8, 9]).view(6, 1, 1)
    valid = torch.tensor([0, 1, 0, 0, 1, 0], dtype=torch.bool).view(6, 1, 1)
    assert windows.fill_gaps(values, valid, method=method).flatten().tolist() == expected


def test_detector_without_any_reading_is_all_zero():
    values, valid = torch.ones(3, 1, 1), torch.zeros(3, 1, 1, dtype=torch.bool)
    for method in ("zero", "forward", "interpolate"):
        assert windows.fill_gaps(values, valid, method=method).abs().sum() == 0


def test_calendar_turns_once_a_day_and_once_a_week():
    found = windows.calendar(torch.tensor([0.0, 360.0, 1440.0, 7 * 1440.0]))
    torch.testing.assert_close(found[:, 0], torch.tensor([0.0, 1.0, 0.0, 0.0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[0], found[3], atol=1e-5, rtol=0)
    assert module(data(calendar_features=True)).windows.inputs.shape[1] == 7


def test_an_epoch_has_every_window_once_over_processes_and_restarts():
    settings = data()
    alone = module(settings)
    count = len(alone.windows.starts)
    taken = []
    for rank in range(2):
        shared = module(settings, rank=rank, world_size=2)
        iterator = iter(shared)
        taken += [next(iterator).inputs for _ in range(shared.per_epoch)]
    rows = torch.cat(taken)
    assert len(torch.unique(rows.flatten(1), dim=0)) == len(
        torch.unique(alone.windows.batch(torch.arange(count)).inputs.flatten(1), dim=0)
    )
    whole = iter(alone)
    kept = [next(whole) for _ in range(5)]
    resumed = next(iter(module(settings, first_batch=4)))
    torch.testing.assert_close(resumed.inputs, kept[4].inputs)


def test_share_that_is_too_short_is_told():
    with pytest.raises(UserError, match="has 87 steps, but a window needs 101"):
        module(data(sequence_length=100))


def test_feature_without_readings_is_told():
    empty = Series(
        values=torch.zeros(60, 1, 1),
        valid=torch.zeros(60, 1, 1, dtype=torch.bool),
        clock=torch.arange(60.0),
        vdids=("a",),
        features=("volume",),
    )
    with pytest.raises(UserError, match="no reading in the training share"):
        windows.Scaler.fitted(empty.values, empty.valid, method="standard")
