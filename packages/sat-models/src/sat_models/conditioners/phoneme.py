"""A conditioner of the phonemes of English text."""

import string
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from sat_config.audio.conditioner import PhonemeNode
from sat_models.conditioners.base import (
    Condition,
    Conditioner,
    build_conditioner,
    make_projection,
)
from sat_models.errors import ConditionError
from sat_models.extras import import_extra
from sat_models.pretransforms.base import Pretransform

PADDING, OTHER, NUM_SPECIAL = 0, 1, 2
NLTK_DATA = ("cmudict", "averaged_perceptron_tagger", "averaged_perceptron_tagger_eng")
IGNORED = frozenset((" ", *string.punctuation))


@runtime_checkable
class Phonemizer(Protocol):
    """What g2p_en's `G2p` does."""

    phonemes: Sequence[str]
    p2idx: Mapping[str, int]

    def __call__(self, text: str) -> list[str]:
        """The phonemes of a text, with spaces and punctuation between them."""


class PhonemeConditioner(Conditioner):
    """A learned embedding per phoneme, and one for whatever is none.

    Deviation from SAT: the mask leaves out the padding, there it is true everywhere.
    """

    def __init__(self, output_dim: int, *, phonemizer: Phonemizer, project_out: bool) -> None:
        """Draw the table.

        Args:
            output_dim: Width of the embeddings.
            phonemizer: Turns text into phonemes.
            project_out: Learn a projection.
        """
        super().__init__()
        self.output_dim, self.phonemizer = output_dim, phonemizer
        self.proj_out = make_projection(output_dim, output_dim, always=project_out)
        num_embeddings = len(phonemizer.phonemes) + NUM_SPECIAL
        self.phoneme_embedder = nn.Embedding(num_embeddings, output_dim)

    def forward(self, values: Sequence[object], *, device: torch.device | str) -> Condition:
        """Embed texts, padded to the longest.

        Raises:
            ConditionError: A value is no text.
        """
        places = [torch.tensor(self._places(value), dtype=torch.long) for value in values]
        padded = pad_sequence(places, batch_first=True, padding_value=PADDING).to(device)
        embeddings = self.proj_out(self.phoneme_embedder(padded))
        return Condition(embeddings, padded != PADDING)

    def _places(self, text: object) -> list[int]:
        if not isinstance(text, str):
            raise ConditionError(f"expected a text, got {text!r}")
        return [self._place(phoneme) for phoneme in self.phonemizer(text)]

    def _place(self, phoneme: str) -> int:
        known = self.phonemizer.p2idx
        if phoneme in IGNORED or phoneme not in known:
            return OTHER
        return known[phoneme] + NUM_SPECIAL


def _load_phonemizer(*, purpose: str) -> Phonemizer:
    """g2p_en's, whose dictionary and tagger are data of NLTK.

    Raises:
        MissingExtraError: g2p_en is not installed.
        ConditionError: NLTK's data is not on this machine.
    """
    g2p_en = import_extra("g2p_en", extra="phonemes", purpose=purpose)
    try:
        phonemizer: Phonemizer = g2p_en.G2p()
        phonemizer("a word")  # the tagger is loaded by the first text only
    except LookupError as error:
        raise ConditionError(
            f"{purpose} needs data of NLTK that is not on this machine; fetch it once with: python"
            f" -m nltk.downloader {' '.join(NLTK_DATA)}"
        ) from error
    return phonemizer


@build_conditioner.register
def _(
    node: PhonemeNode, *, cond_dim: int, sample_rate: int, pretransform: Pretransform | None
) -> PhonemeConditioner:
    phonemizer = _load_phonemizer(purpose=f"the phoneme conditioner {node.id!r}")
    return PhonemeConditioner(
        node.width(cond_dim), phonemizer=phonemizer, project_out=node.config.project_out
    )
