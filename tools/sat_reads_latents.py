"""Ask stable-audio-tools to read a folder of latents that sat-preencode wrote (`format = "sat"`).

    PYTHON_WITH_SAT tools/sat_reads_latents.py FOLDER > docs/results/sat_reads_latents.txt

Runs in an environment with stable-audio-tools (tools/sat_requirements.txt) and nothing of this
repository. SAT's own loader is built from a dataset configuration as SAT has them; its items are
compared with the files and with the manifest. SAT replaces what it cannot read by a random other
item, so every item is counted.
"""

import collections
import json
import pathlib
import sys

import numpy as np
from stable_audio_tools.data.dataset import create_dataloader_from_config


def main() -> int:
    """Read everything once; 0 if SAT got every item as it was written."""
    folder = pathlib.Path(sys.argv[1])
    lines = (folder / "manifest.jsonl").read_text().splitlines()
    entries = {entry["file"]: entry for entry in map(json.loads, lines)}
    config = {"dataset_type": "pre_encoded", "datasets": [{"id": "x", "path": str(folder)}]}
    loader = create_dataloader_from_config(
        {**config, "drop_last": False},
        batch_size=1,
        sample_size=1,
        sample_rate=1,
        num_workers=1,
        shuffle=False,
    )
    seen = collections.Counter()
    for latents, (info,) in loader:
        name = pathlib.Path(info["latent_filename"]).relative_to(folder).as_posix()
        seen[name] += 1
        entry = entries[name]
        same = np.array_equal(latents[0].numpy(), np.load(folder / name))
        heard = int(info["padding_mask"][0].sum())
        right = same and heard == entry["valid_frames"] and info["seconds_total"]
        shape, verdict = tuple(latents[0].shape), "ok" if right else "NO"
        print(f"{name}  {entry['relpath']}  {shape}  {heard} frames heard  {verdict}")
        if not right:
            return 1
    print(f"{len(seen)} of {len(entries)} items, each {set(seen.values())} times")
    return 0 if seen == collections.Counter(entries.keys()) else 1


if __name__ == "__main__":
    sys.exit(main())
