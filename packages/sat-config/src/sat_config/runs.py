"""What runs leave behind: a run folder stands for its configuration, and so does `latest`."""

import os

CONFIG = "config.toml"
"""The resolved configuration in a run folder."""

POINTER = "latest"
"""The file beside run folders that names the newest checkpoint, from its own folder on."""

LATENTS = "details.json"
"""The file in a latent folder that has the configuration under `config`."""


def find(name: str) -> str | None:
    """The configuration that a run folder, a folder of runs or a pointer stands for, if any."""
    if os.path.isdir(name):
        config = os.path.join(name, CONFIG)
        return config if os.path.isfile(config) else find(os.path.join(name, POINTER))
    if os.path.basename(name) != POINTER or not os.path.isfile(name):
        return None
    try:
        with open(name, encoding="utf-8") as file:
            run = file.readline().strip().partition("/")[0]
    except (OSError, ValueError):
        return None
    config = os.path.join(os.path.dirname(name), run, CONFIG)
    return config if run and os.path.isfile(config) else None


def advice(name: str) -> str:
    """What to do about a folder or pointer that stands for no configuration."""
    if os.path.isfile(details := os.path.join(name, LATENTS)):
        return f'include = [{{ path = "{details}", take = "config" }}]'
    return f"name a file, or the folder of a run, which has a {CONFIG}"
