"""What is known of the files of a dataset, kept between runs.

Opening a file to learn its length takes a millisecond; over 100,000 files that is minutes at every
start. What was learnt is kept in the user's cache, and used again for files whose size and date
have not changed.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from sat_models.data.storage import Found
from sat_models.files import replacing

logger = logging.getLogger(__name__)

F = TypeVar("F", bound=msgspec.Struct)


class _Kept(msgspec.Struct, Generic[F], array_like=True, frozen=True):
    """A line of the index: the file's size and stamp when its facts were learnt."""

    size: int
    stamp: str
    facts: F


class Index(Generic[F]):
    """Facts about files, kept for as long as the files stay as they are."""

    def __init__(self, location: str, *, facts: type[F], folder: Path | None = None) -> None:
        """Read what was kept.

        Args:
            location: What the names of files are relative to.
            facts: What is known of a file; another class keeps its facts apart.
            folder: Where indices are kept; the user's cache if left out.
        """
        key = (
            f"{facts.__module__}.{facts.__qualname__} {msgspec.inspect.type_info(facts)} {location}"
        )
        name = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:24]
        self._path = (folder or cache_folder()) / "index" / f"{name}.msgpack"
        self._type = dict[str, _Kept[facts]]  # type: ignore[valid-type]
        self._kept: dict[str, _Kept[F]] = self._read()

    def learn(
        self, files: Sequence[Found], study: Callable[[Found], F], *, expected: type[Exception]
    ) -> list[F | Exception]:
        """The facts of some files: those kept, and for new and changed files what `study` finds.

        Failures are not kept.

        Args:
            files: The files.
            study: Finds out about one file; called from several threads.
            expected: What `study` raises for a file that is no good.

        Returns:
            Facts or the failure, for each file.
        """

        def find(file: Found) -> F | Exception:
            try:
                return study(file)
            except expected as error:
                return error

        kept = [self._valid(file) for file in files]
        missing = [file for file, facts in zip(files, kept, strict=True) if facts is None]
        if not missing:
            return [facts for facts in kept if facts is not None]
        if len(missing) > 1000:
            logger.info("looking into %d new or changed files of %d", len(missing), len(files))
        with ThreadPoolExecutor() as pool:
            found = dict(zip((file.name for file in missing), pool.map(find, missing), strict=True))
        facts = [
            found[file.name] if old is None else old for file, old in zip(files, kept, strict=True)
        ]
        self._keep(files, facts)
        return facts

    def _valid(self, file: Found) -> F | None:
        kept = self._kept.get(file.name)
        same = kept is not None and (kept.size, kept.stamp) == (file.size, file.stamp)
        return kept.facts if kept is not None and same else None

    def _keep(self, files: Sequence[Found], facts: Sequence[F | Exception]) -> None:
        good = {
            file.name: _Kept(file.size, file.stamp, fact)
            for file, fact in zip(files, facts, strict=True)
            if not isinstance(fact, Exception)
        }
        self._kept = {**self._kept, **good}
        try:
            with replacing(self._path) as temporary:
                temporary.write_bytes(msgspec.msgpack.encode(self._kept))
        except OSError as error:
            logger.warning("cannot keep what was learnt of the files: %s", error)

    def _read(self) -> dict[str, _Kept[F]]:
        try:
            kept: dict[str, _Kept[F]] = msgspec.msgpack.decode(
                self._path.read_bytes(), type=self._type
            )
        except (OSError, msgspec.MsgspecError):  # nothing there, or of another version
            return {}
        return kept


def cache_folder() -> Path:
    """Where to keep what can be found out again: `$SAT_CACHE_DIR`, else the user's cache."""
    if chosen := os.environ.get("SAT_CACHE_DIR"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sat"
