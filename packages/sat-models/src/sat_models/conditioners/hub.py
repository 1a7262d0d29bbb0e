"""Pretrained tokenizers and encoders of transformers, from this machine only."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from sat_models.errors import ConditionError
from sat_models.extras import import_extra

T = TypeVar("T")

OFFLINE = "HF_HUB_OFFLINE"


def import_transformers(*, purpose: str) -> ModuleType:
    """The package transformers.

    Raises:
        MissingExtraError: It is not installed.
    """
    return import_extra("transformers", extra="text", purpose=purpose)


def load_local(load: Callable[..., T], name: str, *, transformers: ModuleType) -> T:
    """Load something by a folder or a name of the Hugging Face hub, without a download.

    Deviation from SAT: there, what is missing is downloaded when the model is built, by every
    process for itself.

    Args:
        load: A `from_pretrained`.
        name: A folder, or a name whose files are in the cache.
        transformers: The package; it keeps quiet meanwhile.

    Raises:
        ConditionError: There is no such folder, and nothing of that name in the cache.
    """
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    try:
        return load(name, local_files_only=True)
    except (OSError, ValueError) as error:
        what = "cannot be read" if Path(name).is_dir() else "is not on this machine"
        raise ConditionError(
            f"the pretrained model {name!r} {what}, and nothing is downloaded while a model is"
            f" built; fetch it once with: hf download {name}"
        ) from error
    finally:
        transformers.logging.set_verbosity(verbosity)


@contextmanager
def without_network() -> Iterator[None]:
    """Let packages that are imported meanwhile look into the hub's cache, and no further."""
    before = os.environ.get(OFFLINE)
    os.environ[OFFLINE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[OFFLINE]
        else:
            os.environ[OFFLINE] = before
