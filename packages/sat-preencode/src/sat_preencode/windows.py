"""How files become items, and in which windows items go through the encoder.

An item of fixed length is one window. A whole file goes through in overlapping windows of equal
length, each of which keeps the frames that are far from its edges; with an overlap of twice what a
frame depends on, what is kept is what one pass over the whole file gives. A file shorter than a
window takes a shorter one: half, a quarter, an eighth, so that files of like length share batches
and silence is not encoded for long. The window follows from the file's length alone; so latents do
not depend on what else is in the dataset.
"""

from dataclasses import dataclass

from sat_models.models.chunks import Chunk, plan_chunks


@dataclass(frozen=True)
class Cutting:
    """How files become items.

    Attributes:
        sample_size: Samples of an item, or of the longest window of a whole file; a multiple of
            `hop_length`.
        hop_length: Samples per latent frame.
        whole: Whether a file is one item.
        overlap: Frames that neighbouring windows of a whole file share; fewer than a window has.
    """

    sample_size: int
    hop_length: int
    whole: bool
    overlap: int

    def window(self, frames: int) -> int:
        """Frames of the windows of an item with so many."""
        size = self.sample_size // self.hop_length
        while size > 1 and -(-size // 2) >= frames:
            size = -(-size // 2)
        return size

    def windows(self, frames: int) -> tuple[Chunk, ...]:
        """The windows of an item with so many frames; what lies behind its end is silence."""
        return tuple(plan_chunks(frames, chunk=self.window(frames), overlap=self._shared(frames)))

    def _shared(self, frames: int) -> int:
        return self.overlap if frames > self.window(frames) else 0
