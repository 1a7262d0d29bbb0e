"""The recipe: from an experiment to a latent folder."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from sat_config import plain
from sat_config.audio.experiment import AudioExperiment
from sat_config.audio.preencode import Preencode
from sat_config.run import Experiment
from sat_models.data.ledger import Ledger, Tally
from sat_preencode.checks import audio_node, preencode_table
from sat_preencode.encoding import Encoder, load_encoder
from sat_preencode.plan import plan_items
from sat_preencode.progress import Reporter
from sat_preencode.scan import find_sources
from sat_preencode.settings import Details
from sat_preencode.share import ALL, Share
from sat_preencode.store import BAD_FILES, LatentStore
from sat_preencode.windows import Cutting
from sat_preencode.work import Work

MODEL_KEYS = ("model_type", "sample_rate", "sample_size", "audio_channels", "model")
"""What stands in a model configuration of SAT, training aside."""


@dataclass(frozen=True)
class PreencodeResult:
    """What is in a latent folder after a run.

    Attributes:
        folder: The latent folder.
        checkpoint: The file that the weights came from.
        autoencoder_fingerprint: Of the weights.
        items: Finished items, those of earlier runs included.
        encoded: Items that this run wrote.
        unreadable: Items whose audio could not be read; the folder's ledger names the files.
        seconds: Audio in the finished items.
        complete: Whether the plan is worked off and the manifest written; false after a stop, and
            while other processes are still at work.
    """

    folder: Path
    checkpoint: Path
    autoencoder_fingerprint: str
    items: int
    encoded: int
    unreadable: int
    seconds: float
    complete: bool


def preencode(
    experiment: Experiment,
    *,
    reporter: Reporter | None = None,
    share: Share = ALL,
    stop: Callable[[], bool] = lambda: False,
) -> PreencodeResult:
    """Encode the experiment's dataset into `preencode.output_path`, or continue doing so.

    Args:
        experiment: An autoencoder, or a latent model whose pretransform is one.
        reporter: Says what happens; to standard output if left out.
        share: Which part of the work is this process's; several may work on one folder at a time.
        stop: Asked again and again whether to stop; what is finished by then is kept.

    Raises:
        UserError: The experiment, its checkpoint, its data or the folder cannot be used.
    """
    reporter = reporter or Reporter()
    experiment, table = preencode_table(experiment)
    dataset = audio_node(experiment)
    encoder = load_encoder(experiment, table, reporter=reporter, local_rank=share.local_rank)
    details = _details(experiment, table, encoder)
    store = LatentStore(Path(table.output_path), details=details, on_change=table.on_change)
    with store.opened():
        ledger = Ledger(store.folder / BAD_FILES, on_bad_file=experiment.on_bad_file)
        rate = experiment.sample_rate
        sources = find_sources(
            dataset,
            sample_rate=rate,
            channels=experiment.audio_channels,
            ledger=ledger,
            stop=stop,
        )
        if stop():  # perhaps before all files were looked at, so their share of bad ones is unknown
            return _result(encoder, store.folder)
        files = len(sources) + len(ledger.files)
        _check_bad_share(experiment, ledger, ledger.files, files=files)
        plan = plan_items(
            sources,
            cutting=_cutting(encoder),
            sample_rate=rate,
            batch_size=experiment.batch_size,
            limit_batches=table.limit_batches,
        )
        shards = store.settle(plan, shard_size=table.shard_size)
        work = Work(plan, shards, store, share=share, stop=stop)
        reporter.say(f"plan        {work.summary()}")
        work.encode_missing(
            encoder, ledger=ledger, reporter=reporter, num_workers=experiment.num_workers
        )
        bad = ledger.files | work.unreadable_files
        _check_bad_share(experiment, ledger, bad, files=files)
        complete = not stop() and work.finish()
    return _result(encoder, store.folder, work, complete=complete)


def _result(
    encoder: Encoder, folder: Path, work: Work | None = None, *, complete: bool = False
) -> PreencodeResult:
    return PreencodeResult(
        folder=folder,
        checkpoint=encoder.checkpoint,
        autoencoder_fingerprint=encoder.settings.autoencoder_fingerprint,
        items=work.items if work else 0,
        encoded=work.encoded if work else 0,
        unreadable=work.unreadable if work else 0,
        seconds=work.samples / encoder.settings.sample_rate if work else 0.0,
        complete=complete,
    )


def _check_bad_share(
    experiment: AudioExperiment, ledger: Ledger, bad: Collection[str], *, files: int
) -> None:
    """Stop where more of the files are bad than the experiment bears."""
    tally = Tally(ledger, items=files - len(bad), max_bad_share=experiment.max_bad_share)
    tally.check_opened(bad=len(bad))


def _details(experiment: AudioExperiment, table: Preencode, encoder: Encoder) -> Details:
    config, settings = plain(experiment), encoder.settings
    return Details(
        config=config,
        checkpoint=table.checkpoint or "",
        autoencoder_fingerprint=encoder.settings.autoencoder_fingerprint,
        settings_fingerprint=encoder.settings.fingerprint,
        sample_rate=experiment.sample_rate,
        hop_length=encoder.autoencoder.hop_length,
        latent_dim=encoder.stored_channels if settings.tokens else encoder.autoencoder.latent_dim,
        latent=settings.latent,
        dtype=settings.dtype,
        sample_size=None if settings.whole_files else settings.sample_size,
        layout=table.format,
        settings=settings,
        model_config={key: config[key] for key in MODEL_KEYS if key in config},
        dataset_config=config["dataset"],
        args=config["preencode"],
    )


def _cutting(encoder: Encoder) -> Cutting:
    settings = encoder.settings
    return Cutting(
        sample_size=settings.sample_size,
        hop_length=encoder.autoencoder.hop_length,
        whole=settings.whole_files,
        overlap=settings.window_overlap or 0,
    )
