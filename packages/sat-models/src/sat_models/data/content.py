"""The content of files, as hashes that are kept until a file changes."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from sat_models.data.audio_dir import AudioFile
from sat_models.data.index import Index
from sat_models.data.storage import Found
from sat_models.errors import AudioError


class Content(msgspec.Struct, array_like=True, frozen=True):
    """What a file holds.

    Attributes:
        sha256: Of all its bytes.
    """

    sha256: str


def content_hashes(files: Sequence[AudioFile]) -> list[str | AudioError]:
    """The SHA-256 of each file, or why it cannot be read."""
    found: dict[tuple[str, str], str | AudioError] = {}
    for root in dict.fromkeys(file.root for file in files):
        group = [Found(f.relpath, f.size, f.stamp) for f in files if f.root == root]
        index = Index(str(Path(root).resolve()), facts=Content)

        def study(file: Found, root: str = root) -> Content:
            path = Path(root, file.name)
            try:
                with path.open("rb") as opened:
                    return Content(hashlib.file_digest(opened, "sha256").hexdigest())
            except OSError as error:
                raise AudioError(f"{path}: cannot be read: {error.strerror}") from error

        for file, known in zip(group, index.learn(group, study, expected=AudioError), strict=True):
            if isinstance(known, Content):
                found[root, file.name] = known.sha256
            else:
                found[root, file.name] = AudioError(str(known))
    return [found[file.root, file.relpath] for file in files]
