import json

import numpy as np
import pytest
import torch

from sat_config.audio.dataset import LatentFolder, PreEncodedNode
from sat_models.data.batch import BadItem
from sat_models.data.build import build_dataset
from sat_models.data.dataset import Draw
from sat_models.data.latent_details import check_latents, read_details, read_manifest
from sat_models.data.ledger import Ledger
from sat_models.data.storage import LocalStorage
from sat_models.errors import DataError

RATE, HOP, DIM, FRAMES = 8000, 100, 4, 20


def latents_of(start):
    return np.random.default_rng(start).standard_normal((DIM, FRAMES)).astype(np.float32)


def write_folder(folder, *, items=((0, FRAMES), (FRAMES * HOP, 12)), **details):
    """A latent folder of one file; an item is its first sample and its valid frames."""
    lines = []
    for start, valid in items:
        file = f"music/a.flac/{start:012d}.npy"
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, latents_of(start))
        path.with_suffix(".json").write_text(json.dumps({"prompt": "a bell", "seconds_start": 9}))
        lines.append(
            {
                "id": f"music/a.flac/{start}",
                "file": file,
                "dataset": "music",
                "relpath": "a.flac",
                "start_sample": start,
                "num_samples": valid * HOP,
                "frames": FRAMES,
                "valid_frames": valid,
                "seconds_start": start // RATE,
                "seconds_total": 2,
                "sha256": "",
            }
        )
    content = {
        "format": "sat-latents",
        "version": 3,
        "config": {"model_type": "autoencoder"},
        "checkpoint": "runs/vae/latest",
        "autoencoder_fingerprint": "f" * 16,
        "settings_fingerprint": "0" * 16,
        "sample_rate": RATE,
        "hop_length": HOP,
        "latent_dim": DIM,
        "sample_size": FRAMES * HOP,
        **details,
    }
    (folder / "details.json").write_text(json.dumps(content))
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "latents")


def build(*folders, training=True, sample_rate=RATE, **options):
    named = tuple(LatentFolder(id=f"f{n}", path=str(folder)) for n, folder in enumerate(folders))
    return build_dataset(
        PreEncodedNode(datasets=named, **options),
        sample_rate=sample_rate,
        sample_size=1,
        channels=1,
        seed=1,
        training=training,
        ledger=Ledger(None, on_bad_file="error"),
    )


def test_whole_items_come_as_they_were_written(folder):
    dataset = build(folder)
    assert len(dataset) == 2
    sample = dataset[1]
    assert torch.equal(sample.values, torch.from_numpy(latents_of(FRAMES * HOP)))
    assert sample.padding_mask.tolist() == [True] * 12 + [False] * 8
    assert sample.item.id == "music/a.flac/2000"
    assert (sample.item.start_sample, sample.item.seconds_total) == (2000, 2)
    assert sample.item.metadata["prompt"] == "a bell"
    assert sample.item.metadata["seconds_start"] == sample.item.seconds_start == 0


def test_items_stack_to_a_batch_of_latents(folder):
    dataset = build(folder)
    batch = dataset.stack([dataset[0], dataset[1]])
    assert batch.latents.shape == (2, DIM, FRAMES)
    assert batch.padding_mask.shape == (2, FRAMES)
    assert batch.to("meta").latents.device.type == "meta"


def test_crop_is_taken_from_the_start_unless_asked_otherwise(folder):
    sample = build(folder, latent_crop_length=5)[Draw(4, 0)]
    assert torch.equal(sample.values, torch.from_numpy(latents_of(0)[:, :5]))
    assert sample.item.start_sample == 0


def test_random_crop_stays_within_the_audio_and_moves_the_start(folder):
    dataset = build(folder, latent_crop_length=5, random_crop=True)
    starts = set()
    for epoch in range(60):
        sample = dataset[Draw(epoch, 1)]
        first = (sample.item.start_sample - FRAMES * HOP) // HOP
        expected = latents_of(FRAMES * HOP)[:, first : first + 5]
        assert torch.equal(sample.values, torch.from_numpy(expected))
        assert sample.padding_mask.all()
        assert sample.item.seconds_start == sample.item.start_sample // RATE
        starts.add(first)
    assert starts == set(range(12 - 5 + 1))


def test_validation_crops_from_the_start(folder):
    dataset = build(folder, training=False, latent_crop_length=5, random_crop=True)
    assert {dataset[Draw(epoch, 0)].item.start_sample for epoch in range(5)} == {0}


def test_crop_longer_than_every_item_is_refused(folder):
    with pytest.raises(DataError, match="latent_crop_length is 21, and the longest item has 20"):
        build(folder, latent_crop_length=21)


def test_folder_without_manifest_says_how_to_finish_it(folder):
    (folder / "manifest.jsonl").unlink()
    with pytest.raises(DataError, match=r"not finished there.*\(sat-preencode FILE\)"):
        build(folder)


def test_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(DataError, match=r"dataset 'f0': .*nowhere is not a folder"):
        build(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"dataset 'f0': no latents in .*preencode.output_path"):
        build(tmp_path)


def test_details_of_another_version_or_format_are_refused(folder):
    write_folder(folder, version=1)
    with pytest.raises(DataError, match="describes sat-latents version 1; this program reads"):
        read_details(folder)
    (folder / "details.json").write_text("[1, 2]")
    with pytest.raises(DataError, match="does not describe latents"):
        read_details(folder)


def test_damaged_manifest_names_the_line(folder):
    with (folder / "manifest.jsonl").open("a") as file:
        file.write('{"id": "x"')
    with pytest.raises(DataError, match=r"manifest\.jsonl, line 3: "):
        read_manifest(LocalStorage(str(folder)))


def test_check_latents_says_everything_that_differs(folder):
    details = read_details(folder)
    fits = {"latent_dim": DIM, "hop_length": HOP, "sample_rate": RATE}
    check_latents(details, **fits, autoencoder_fingerprint="f" * 16)
    with pytest.raises(DataError) as caught:
        check_latents(details, latent_dim=64, hop_length=HOP, sample_rate=44100)
    assert str(caught.value).splitlines() == [
        f"the latents in {folder} come from another autoencoder than the model's pretransform:",
        "  4 channels, and the model expects 64",
        "  8000 Hz, and the model expects 44100",
        "They were encoded by runs/vae/latest; use that as pretransform, or encode again with"
        " sat-preencode into another folder",
    ]
    with pytest.raises(DataError, match=f"weights {'f' * 16}, and the model's .* has {'e' * 16}"):
        check_latents(details, **fits, autoencoder_fingerprint="e" * 16)


def test_folders_of_different_autoencoders_are_not_mixed(folder, tmp_path):
    other = write_folder(tmp_path / "other", autoencoder_fingerprint="e" * 16)
    with pytest.raises(DataError, match="hold latents of different autoencoders"):
        build(folder, other)


def test_other_sample_rate_than_the_experiment_is_refused(folder):
    with pytest.raises(DataError, match="are of audio at 8000 Hz, and sample_rate is 44100"):
        build(folder, sample_rate=44100)


def spoil_cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def spoil_shape(path):
    np.save(path, np.zeros((DIM, FRAMES - 1), np.float32))


def spoil_values(path):
    np.save(path, np.full((DIM, FRAMES), np.nan, np.float32))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_bytes(b""), "no array: No data left in file"),
        (spoil_cut, "no array: "),
        (spoil_shape, "has shape (4, 19), and (4, 20) was expected"),
        (spoil_values, "holds values that are not finite"),
    ],
)
def test_file_that_cannot_be_used_comes_as_a_bad_item(folder, spoil, reason):
    path = folder / "music" / "a.flac" / "000000000000.npy"
    spoil(path)
    item = build(folder)[0]
    assert isinstance(item, BadItem)
    assert item.reason.startswith(f"{path}: {reason}")
