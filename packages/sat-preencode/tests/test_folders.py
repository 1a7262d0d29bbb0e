"""verify, stats and merge."""

import json
import shutil

import numpy as np
import pytest

from sat_preencode.cli import main
from sat_preencode.folders import describe, merge


def test_whole_folder_has_no_fault_and_decodes(world, capsys):
    world.preencode()
    assert main(["verify", str(world.latents), "--decode", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "9 items, no faults" in lines
    decoded = [line for line in lines if "dB of error against the source" in line]
    assert [line.partition(":")[0] for line in decoded] == [
        "music/a.wav#000000000000",
        "music/b/c.flac#000000000000",
        "music/d.wav#000000000000",
    ]


def test_faults_are_named(world, capsys):
    world.preencode()
    first, second, third, fourth, *_ = sorted(world.latents.rglob("*.npy"))
    first.write_bytes(first.read_bytes()[:-4] + b"\0\0\0\0")
    second.unlink()
    table = json.loads(third.with_suffix(".json").read_text())
    third.with_suffix(".json").write_text(json.dumps(table | {"frames": 5}))
    shutil.copy(fourth, fourth.with_name("stray.npy"))
    assert main(["verify", str(world.latents)]) == 1
    said = capsys.readouterr()
    assert said.out == "9 items, 4 faults\n"
    assert said.err.splitlines() == [
        f"{first}: is not what was written: its SHA-256 differs",
        f"{second}: No such file or directory",
        f"{third.with_suffix('.json')}: does not agree with the manifest: frames",
        f"{fourth.with_name('stray.npy')}: is not in the manifest; nobody reads it",
    ]


def test_decoding_with_other_weights_than_the_folders_is_refused(world, capsys):
    world.preencode()
    details = json.loads((world.latents / "details.json").read_text())
    (world.latents / "details.json").write_text(
        json.dumps(details | {"autoencoder_fingerprint": "0" * 16})
    )
    assert main(["verify", str(world.latents), "--decode", "1"]) == 1
    assert f"was made with weights {'0' * 16}" in capsys.readouterr().err


def test_statistics_are_those_of_the_values(world, capsys):
    world.preencode()
    values = np.concatenate(
        [
            np.load(world.latents / entry["file"])[:, : entry["valid_frames"]]
            for entry in world.manifest()
        ],
        axis=1,
    )
    found = describe(world.latents)
    assert (found.items, found.datasets) == (9, {"music": 9})
    assert found.mean == pytest.approx(values.mean(), abs=1e-6)
    assert found.deviation == pytest.approx(values.std(), rel=1e-6)
    assert (found.lowest, found.highest) == (values.min(), values.max())
    assert main(["stats", str(world.latents)]) == 0
    assert "items      9, 0.00 h of audio" in capsys.readouterr().out


def test_folder_that_is_not_finished_is_refused(world, capsys):
    world.preencode()
    (world.latents / "manifest.jsonl").unlink()
    assert main(["stats", str(world.latents)]) == 1
    assert "it is not finished" in capsys.readouterr().err
    assert main(["verify", str(world.root)]) == 1
    assert "is no latent folder" in capsys.readouterr().err


def other_half(world, name, relpaths):
    """What a machine makes that has some of the files only."""
    (world.root / "half.txt").write_text("\n".join(relpaths))
    dataset = world.document()["dataset"]
    entry = dataset["datasets"][0] | {"filelist_path": str(world.root / "half.txt")}
    folder = world.root / name
    world.preencode(
        dataset=dataset | {"datasets": [entry]},
        **world.with_table(output_path=str(folder)),
    )
    return folder


def test_folders_of_two_machines_join_to_what_one_would_have_made(world, capsys):
    left = other_half(world, "left", ["a.wav"])
    right = other_half(world, "right", ["b/c.flac", "d.wav"])
    world.preencode()
    joined = world.root / "joined"
    assert main(["merge", str(joined), str(left), str(right)]) == 0
    assert capsys.readouterr().out.endswith(f"9 items in {joined}\n")
    for path in world.latents.rglob("*.npy"):
        name = path.relative_to(world.latents)
        assert (joined / name).read_bytes() == path.read_bytes()
    assert (joined / "manifest.jsonl").read_bytes() == (
        world.latents / "manifest.jsonl"
    ).read_bytes()
    assert merge(joined, [left]) == 9


def test_joining_refuses_other_settings_and_other_content(world, capsys):
    left = other_half(world, "left", ["a.wav"])
    right = other_half(world, "right", ["a.wav", "d.wav"])
    lines = (right / "manifest.jsonl").read_text()
    (right / "manifest.jsonl").write_text(
        lines.replace('"content_sha256":"', '"content_sha256":"x')
    )
    assert main(["merge", str(world.root / "joined"), str(left), str(right)]) == 1
    assert "has other content than the item of that name" in capsys.readouterr().err
    (world.root / "half.txt").unlink()
    world.preencode(**world.with_table(latent="mean"))
    assert main(["merge", str(world.root / "other"), str(left), str(world.latents)]) == 1
    assert "holds latents of other settings" in capsys.readouterr().err
