"""Whether a run that goes on has the data that it was begun with."""

import json
import logging
from collections.abc import Mapping

from sat_train.resume import Resume

log = logging.getLogger(__name__)


def warn_of_changes(resume: Resume, data: Mapping[str, object]) -> None:
    """Name every dataset that is not what it was when the run was last started.

    Which items are still to come in an epoch follows from their number and order; of a dataset that
    has changed, some may come twice in that epoch and others not at all. That is said, and the run
    goes on: to add files to a dataset in the middle of a training is nobody's mistake.

    Args:
        resume: What is continued.
        data: What is known of each dataset now, as it is written into the run folder.
    """
    path = resume.path.parent.parent / "data.json"
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        log.warning("cannot tell whether the data are still the same: %s: %s", path, error)
        return
    for key, now in data.items():
        then = before.get(key)
        if _fingerprint(then) not in (None, _fingerprint(now)):
            log.warning(
                "%s HAS CHANGED since this run was last started:\n  then  %s\n  now   %s\n"
                "of the epoch that goes on from step %d, items may come twice or not at all",
                key.upper(),
                _described(then),
                _described(now),
                resume.step,
            )


def _fingerprint(found: object) -> object:
    return found.get("fingerprint") if isinstance(found, Mapping) else None


def _described(found: object) -> str:
    assert isinstance(found, Mapping)
    return f"{found.get('summary')} ({found['fingerprint']})"
