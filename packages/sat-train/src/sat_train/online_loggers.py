"""Loggers of services; their packages are extras, and both work without a network."""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities import rank_zero_only

from sat_config import Experiment, UserError, plain
from sat_models.extras import import_extra
from sat_train.loggers import AUDIO, RunLogger
from sat_train.run_folder import RunFolder

KEY_CHARACTERS = 32


class WandbLogger(RunLogger):
    """Figures and files for Weights & Biases; with WANDB_MODE=offline, for `wandb sync` later.

    A resumed run goes on where it was, under the name of its folder.

    Raises:
        MissingExtraError: wandb is not installed.
        UserError: There is no account to write to.
    """

    def __init__(self, experiment: Experiment, run: RunFolder) -> None:
        super().__init__()
        self.wandb = import_extra(
            "wandb", distribution="sat-train", extra="wandb", purpose="logger = 'wandb'"
        )
        mode = os.environ.get("WANDB_MODE", "online")
        if mode == "online" and self.wandb.api.api_key is None:
            raise UserError(
                "logger is 'wandb', but nobody is logged in: run `wandb login`, or set"
                " WANDB_API_KEY, or WANDB_MODE=offline to upload later"
            )
        self.experiment_config = experiment
        self.run = run
        self._run: Any = None

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Hand on figures."""
        self._open().log(dict(metrics), step=step)

    @rank_zero_only
    def log_files(self, files: Mapping[str, Path], *, step: int) -> None:
        """Hand on clips and pictures."""
        kinds = {True: self.wandb.Audio, False: self.wandb.Image}
        media = {title: kinds[path.suffix in AUDIO](str(path)) for title, path in files.items()}
        self._open().log(media, step=step)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Upload what is pending."""
        if self._run is not None:
            self._run.finish(exit_code=0 if status == "success" else 1)
            self._run = None

    def _open(self) -> Any:  # noqa: ANN401 - a class of an extra
        if self._run is None:
            self.run.logs.mkdir(parents=True, exist_ok=True)
            self._run = self.wandb.init(
                project=self.experiment_config.project or self.experiment_config.name,
                name=self.run.path.name,
                id=self.run.path.name,
                resume="allow",
                dir=self.run.logs,
                config=plain(self.experiment_config),
                tags=list(self.experiment_config.experiment.tags),
                notes=self.experiment_config.experiment.description or None,
                settings=self.wandb.Settings(silent=True, console="off"),
            )
        return self._run


class CometLogger(RunLogger):
    """Figures and files for Comet; with COMET_START_ONLINE=0, for `comet upload` later.

    Raises:
        MissingExtraError: comet-ml is not installed.
        UserError: There is no account to write to.
    """

    def __init__(self, experiment: Experiment, run: RunFolder) -> None:
        super().__init__()
        self.comet = import_extra(
            "comet_ml", distribution="sat-train", extra="comet", purpose="logger = 'comet'"
        )
        self.online = os.environ.get("COMET_START_ONLINE", "1").lower() not in ("0", "false")
        if self.online and self.comet.get_config("comet.api_key") is None:
            raise UserError(
                "logger is 'comet', but nobody is logged in: run `comet login`, or set"
                " COMET_API_KEY, or COMET_START_ONLINE=0 to upload later"
            )
        self.experiment_config = experiment
        self.run = run
        self._experiment: Any = None

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Hand on figures."""
        self._open().log_metrics(dict(metrics), step=step)

    @rank_zero_only
    def log_files(self, files: Mapping[str, Path], *, step: int) -> None:
        """Hand on clips and pictures."""
        for title, path in files.items():
            if path.suffix in AUDIO:
                self._open().log_audio(str(path), file_name=title, step=step)
            else:
                self._open().log_image(str(path), name=title, step=step)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Upload what is pending, or pack it."""
        if self._experiment is not None:
            self._experiment.end()
            self._experiment = None

    def _open(self) -> Any:  # noqa: ANN401 - a class of an extra
        if self._experiment is None:
            (self.run.logs / "comet").mkdir(parents=True, exist_ok=True)
            self._experiment = self.comet.start(
                online=self.online,
                project_name=self.experiment_config.project or self.experiment_config.name,
                # The same for every start of the run.
                experiment_key=hashlib.sha256(self.run.path.name.encode()).hexdigest()[
                    :KEY_CHARACTERS
                ],
                experiment_config=self.comet.ExperimentConfig(
                    name=self.run.path.name,
                    tags=list(self.experiment_config.experiment.tags),
                    offline_directory=str(self.run.logs / "comet"),
                    display_summary_level=0,
                    log_code=False,
                    log_git_metadata=False,
                    parse_args=False,
                    auto_metric_logging=False,
                    auto_param_logging=False,
                    auto_output_logging=False,
                ),
            )
            self._experiment.log_parameters(plain(self.experiment_config))
        return self._experiment


ONLINE: dict[str, Callable[[Experiment, RunFolder], RunLogger]] = {
    "wandb": WandbLogger,
    "comet": CometLogger,
}
"""The services by the names that `logger` takes."""
