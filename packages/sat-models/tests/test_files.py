import os
import subprocess
import sys

import pytest

import sat_models.files
from sat_models.files import replacing


def test_replacing_appears_only_when_the_block_has_ended(tmp_path):
    path = tmp_path / "new" / "file.bin"
    with replacing(path) as temporary:
        temporary.write_bytes(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert os.listdir(path.parent) == ["file.bin"]


def test_replacing_after_an_exception_keeps_what_was_there(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"before")

    def fail_halfway():
        with replacing(path) as temporary:
            temporary.write_bytes(b"ha")
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fail_halfway()
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_replacing_in_a_killed_process_keeps_what_was_there(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"before")
    script = (
        "import os, sys, pathlib, runpy\n"
        "replacing = runpy.run_path(sys.argv[1])['replacing']\n"
        "with replacing(pathlib.Path(sys.argv[2])) as temporary:\n"
        "    temporary.write_bytes(b'ha')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, sat_models.files.__file__, path])
    assert killed.returncode == -9
    assert path.read_bytes() == b"before"
    assert all(name.startswith(".") for name in os.listdir(tmp_path) if name != "file.bin")
