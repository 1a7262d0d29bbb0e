"""What must fit together in an audio document."""

from collections.abc import Iterator

from sat_config.audio.experiment import AudioExperiment
from sat_config.rules import Broken, rule


@rule("SAT-W301", on=AudioExperiment, reads=("sample_rate",), severity="warning")
def usual_rate(node: AudioExperiment) -> Iterator[Broken]:
    """The sample rate is one that recordings have."""
    usual = (8000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 192000)
    if node.sample_rate not in usual:
        near = min(usual, key=lambda rate: abs(rate - node.sample_rate))
        yield Broken(
            f"a sample rate of {node.sample_rate} Hz is unusual", ("sample_rate",), str(near)
        )


@rule("SAT-W302", on=AudioExperiment, reads=("audio_channels",), severity="warning")
def usual_channels(node: AudioExperiment) -> Iterator[Broken]:
    """Audio has eight channels or fewer."""
    if node.audio_channels > 8:
        yield Broken(f"{node.audio_channels} audio channels are unusual", ("audio_channels",))


@rule("SAT-W304", on=AudioExperiment, reads=("precision", "accelerator"), severity="warning")
def precision_of_device(node: AudioExperiment) -> Iterator[Broken]:
    """Half precision is not for a CPU; which device "auto" takes cannot be known before a run."""
    if node.accelerator == "cpu" and node.precision in ("16-mixed", "16-true", "16"):
        yield Broken(
            f"precision {node.precision!r} on a CPU is slow and has no gradient scaling",
            ("precision",),
            '"bf16-mixed" or "32-true"',
        )
