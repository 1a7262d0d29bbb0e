"""verify, stats and merge."""

import json
import os
import shutil
import tarfile

import numpy as np
import pytest

from sat_preencode.cli import main
from sat_preencode.folders import describe
from sat_preencode.merging import merge
from sat_preencode.records import read_folder


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
    first, second, *_ = read_folder(world.latents)[1]
    tar = world.latents / first.file
    content = bytearray(tar.read_bytes())
    content[first.values[1] - 1] ^= 1
    content[second.metadata[0] + 5] ^= 1
    tar.write_bytes(content)
    (world.latents / "000001.tar").unlink()
    with tarfile.open(world.latents / "000002.tar", "a") as stray:
        stray.add(world.root / "vae.safetensors", "stray.npy")
    assert main(["verify", str(world.latents)]) == 1
    said = capsys.readouterr()
    gone = world.latents / "000001.tar"
    assert said.out == "9 items, 8 faults\n"
    assert said.err.splitlines() == [
        f"{tar}: {first.id}: is not what was written: its SHA-256 differs",
        f"{tar}: {second.id}: its metadata are not what was written: their SHA-256 differs",
        *(
            f"{gone}: music/b/c.flac#{start:012d}: {gone}: No such file or directory"
            for start in (0, 256, 512, 768)
        ),
        f"{gone}: cannot be listed: [Errno 2] No such file or directory: '{gone}'",
        said.err.splitlines()[-1],
    ]
    assert "000002.tar: holds stray.npy at" in said.err.splitlines()[-1]
    assert world.preencode().encoded == 5  # the shards of another size are made again


def test_faults_of_the_lists_are_named(world, capsys):
    world.preencode()
    lines = (world.latents / "manifest.jsonl").read_text().splitlines(keepends=True)
    (world.latents / "manifest.jsonl").write_text("".join(lines[:-1]))
    assert main(["verify", str(world.latents)]) == 1
    said = capsys.readouterr().err
    assert "000002.tar: its record does not agree with the manifest" in said
    assert "which is not in the manifest" in said


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
        [world.arrays()[entry["id"]][:, : entry["valid_frames"]] for entry in world.manifest()],
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
    assert capsys.readouterr().out == f"9 items in {joined}\n"
    assert world.stored(joined) == world.stored()
    assert main(["verify", str(joined)]) == 0
    assert [entry.shard for entry in read_folder(joined)[1]] == [0] * 4 + [1] * 4 + [2]
    before = {path: path.stat().st_mtime_ns for path in joined.iterdir()}
    assert merge(joined, [left]) == 9
    assert {path: path.stat().st_mtime_ns for path in joined.iterdir()} == before


def test_joined_folder_goes_on_with_what_is_new(world, encodes):
    left = other_half(world, "left", ["a.wav"])
    right = other_half(world, "right", ["b/c.flac", "d.wav"])
    joined = world.root / "joined"
    merge(joined, [left, right])
    world.add_clip("later.wav", 300)
    encodes.clear()
    result = world.preencode(**world.with_table(output_path=str(joined)))
    assert (result.items, result.encoded) == (10, 1)


def test_interrupted_join_goes_on(world, monkeypatch):
    left = other_half(world, "left", ["a.wav"])
    right = other_half(world, "right", ["b/c.flac", "d.wav"])
    merge(world.root / "whole", [left, right])
    joined, replace = world.root / "joined", os.replace
    for point in range(9):
        left_over = iter(range(point))

        def replace_so_often(source, target, left_over=left_over):
            if next(left_over, None) is None:
                raise KeyboardInterrupt
            replace(source, target)

        monkeypatch.setattr(os, "replace", replace_so_often)
        with pytest.raises(KeyboardInterrupt):
            merge(joined, [left, right])
        monkeypatch.setattr(os, "replace", replace)
        merge(joined, [left, right])
        contents = [
            {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
            for folder in (joined, world.root / "whole")
        ]
        assert contents[0] == contents[1]
        shutil.rmtree(joined)


def test_joining_refuses_an_item_that_is_there_twice(world, capsys):
    left = other_half(world, "left", ["a.wav"])
    other_half(world, "right", ["d.wav"])
    right = other_half(world, "right", ["a.wav", "d.wav"])
    (world.root / "audio/a.wav").unlink()
    world.add_clip("a.wav", 700, seed=9)
    other = other_half(world, "other", ["a.wav"])
    assert merge(world.root / "fine", [left, right]) == 5
    assert main(["merge", str(world.root / "joined"), str(left), str(other)]) == 1
    said = capsys.readouterr().err
    assert f"{other}: music/a.wav#{0:012d} has other content than the item of that name" in said


def test_joining_refuses_other_settings(world, capsys):
    left = other_half(world, "left", ["a.wav"])
    world.preencode(**world.with_table(latent="mean"))
    assert main(["merge", str(world.root / "other"), str(left), str(world.latents)]) == 1
    said = capsys.readouterr().err
    assert "hold latents of other settings" in said
    assert 'latent: "mean" there, "sample" now' in said
    assert not (world.root / "other").exists()
