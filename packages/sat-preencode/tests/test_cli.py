import json
import os
import signal
import subprocess
import sys
import time

import pytest

from sat_preencode.cli import main

RUN = """
import sys, torch
torch.set_num_threads(1)
from sat_preencode.cli import main
sys.exit(main())
"""
DEADLINE_SECONDS = 60


def write(world, **changes):
    path = world.root / "experiment.json"
    path.write_text(json.dumps(world.document(**changes)))
    return path


def test_command_encodes_and_says_what_to_do_next(world, capsys):
    assert main([str(write(world)), "--override", "batch_size=2"]) == 0
    out = capsys.readouterr().out
    assert f"9 items, 0.2 s of audio in {world.latents}" in out
    assert "sat-train LATENT_MODEL.toml --override" in out
    assert len((world.latents / "manifest.jsonl").read_text().splitlines()) == 9


def test_next_command_of_a_latent_model_is_its_own_file(world, capsys):
    model = {
        "type": "dit",
        "config": {"in_channels": 3, "embed_dim": 32, "depth": 1, "num_heads": 1},
        "pretransform": {"type": "autoencoder", "config": world.document()["model"]},
    }
    file = write(world, model=model, model_type="diffusion_uncond")
    assert main([str(file), "--override", "seed=3"]) == 0
    assert f"sat-train {file} --override seed=3 --override" in capsys.readouterr().out


def test_user_error_exits_1_without_traceback(world, capsys):
    assert main([str(write(world)), "--override", "preencode.checkpoint=none.ckpt"]) == 1
    err = capsys.readouterr().err
    assert "none.ckpt" in err
    assert "Traceback" not in err


def test_corrupt_file_exits_1_where_bad_files_are_errors(world, capsys):
    (world.root / "audio/z.wav").write_bytes(b"nothing")
    assert main([str(write(world, on_bad_file="error"))]) == 1
    assert "z.wav" in capsys.readouterr().err


def test_wrong_usage_exits_2(capsys):
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "FILE" in capsys.readouterr().err


def test_mistake_in_the_file_is_told_before_torch_is_imported(world):
    file = write(world)
    code = (
        "import sys; from sat_preencode.cli import main;"
        f"code = main([{str(file)!r}, '--override', 'preencode.latents=mean']);"
        "print('torch' in sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (1, "False")
    assert "preencode" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def big_world(empty_world):
    """Two hundred and forty items, enough for a process to be caught in the middle."""
    for number in range(60):
        empty_world.add_clip(f"{number:02d}.wav", 4 * 256, seed=number)
    empty_world.preencode()
    reference = empty_world.files()
    empty_world.latents.rename(empty_world.root / "reference")
    return empty_world, reference


def finished(world):
    """Finished shards and where they lie on the disk, which writing them again would change."""
    return {path: path.stat().st_ino for path in world.latents.glob("[0-9]*.json")}


def start_and_signal(world, *, after: int, number: signal.Signals) -> "subprocess.Popen[str]":
    """Run the command on the world and send it a signal once `after` shards are there."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(write(world))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(finished(world)) < after:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.kill(process.pid, number)
    return process


@pytest.mark.slow
def test_killed_runs_continue_to_the_folder_of_an_undisturbed_one(big_world):
    world, reference = big_world
    kept = {}
    for after in (1, 15, 30):
        with start_and_signal(world, after=after, number=signal.SIGKILL) as process:
            process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert kept.items() <= finished(world).items()
        kept = finished(world)
        assert after <= len(kept) < 60
    result = world.preencode()
    assert kept.items() <= finished(world).items()
    assert result.encoded == 240 - 4 * len(kept)
    assert world.files() == reference


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_finishes_the_batch_and_says_how_to_continue(big_world, number, status):
    world, reference = big_world
    with start_and_signal(world, after=3, number=number) as process:
        said = process.communicate()[0]
    assert process.returncode == status
    assert f"continue with\n  sat-preencode {world.root / 'experiment.json'}" in said
    assert "Traceback" not in said
    assert 3 <= len(finished(world)) < 60
    assert not list(world.latents.rglob(".*.partial"))
    world.preencode()
    assert world.files() == reference
