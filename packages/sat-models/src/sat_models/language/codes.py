"""A language model over the codes of several codebooks (Copet et al. 2023, 2306.05284)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from sat_models.backbones.conditioning import Conditioning
from sat_models.language.backbone import LMBackbone
from sat_models.language.build_patterns import MakePattern
from sat_models.layers.transformer import TransformerCache


@dataclass(frozen=True)
class CodeLogits:
    """What a model thinks of codes, each from those before it in the order of the pattern.

    Attributes:
        values: Logits of the `v` codes at each place; NaN where there are none.
        mask: Where there are some.
    """

    values: Float[Tensor, "b q l v"]
    mask: Bool[Tensor, "q l"]


class CodeLanguageModel(nn.Module):
    """Embeds the codes of a step, adds them up, and guesses those of the next step.

    Attributes:
        num_codebooks: Codebooks.
        codebook_size: Codes of a codebook.
        special_token: Stands where a step has no code of a codebook.
    """

    def __init__(
        self,
        backbone: LMBackbone,
        *,
        make_pattern: MakePattern,
        num_codebooks: int,
        codebook_size: int,
    ) -> None:
        """Create the layers around a backbone.

        Args:
            backbone: Sees steps and never looks ahead.
            make_pattern: Order in which codes are predicted.
            num_codebooks: Codebooks.
            codebook_size: Codes of a codebook.
        """
        super().__init__()
        self.backbone, self.make_pattern = backbone, make_pattern
        self.num_codebooks, self.codebook_size = num_codebooks, codebook_size
        self.special_token = codebook_size
        width = backbone.width
        self.embeds = nn.ModuleList(
            nn.Embedding(codebook_size + 1, width) for _ in range(num_codebooks)
        )
        self.quantizer_heads = nn.ModuleList(
            nn.Linear(width, codebook_size) for _ in range(num_codebooks)
        )

    def forward(
        self,
        sequence: Int[Tensor, "b q s"],
        conditioning: Conditioning,
        *,
        cache: TransformerCache | None = None,
    ) -> Float[Tensor, "b q s v"]:
        """Guess what follows each step.

        Args:
            sequence: Codes in the order of a pattern.
            conditioning: What steers the model.
            cache: The steps before these.

        Raises:
            ValueError: There are other codebooks, or a condition has no way in.
        """
        if sequence.shape[1] != self.num_codebooks:
            raise ValueError(
                f"expected codes of {self.num_codebooks} codebooks, got {sequence.shape[1]}"
            )
        columns = zip(self.embeds, sequence.unbind(1), strict=True)
        x = torch.stack([embed(column) for embed, column in columns]).sum(0)  # b s e
        features = self.backbone(x, conditioning, cache=cache)
        return torch.stack([head(features) for head in self.quantizer_heads], dim=1)

    def code_logits(self, codes: Int[Tensor, "b q l"], conditioning: Conditioning) -> CodeLogits:
        """What the model thinks of codes; for training.

        As in SAT, a delayed pattern ends with the codebook that is ahead: of the last frames, codes
        that come later are not guessed.

        Args:
            codes: The codes, frame by frame.
            conditioning: What steers the model.
        """
        pattern = self.make_pattern(codes.shape[-1])
        sequence, _ = pattern.interleave(codes, special_token=self.special_token, valid_only=True)
        logits = self(sequence, conditioning)
        restored, mask = pattern.restore_logits(
            logits.permute(0, 3, 1, 2), fill=float("nan"), valid_only=True
        )
        return CodeLogits(restored.permute(0, 2, 3, 1), mask)


def code_losses(
    logits: CodeLogits, codes: Int[Tensor, "b q l"], *, padding_mask: Bool[Tensor, "b l"]
) -> Float[Tensor, " q"]:
    """Cross entropy of each codebook, over the codes that are guessed; their mean is the loss.

    Args:
        logits: What a model thinks of the codes.
        codes: The codes.
        padding_mask: True for the frames that are no padding.
    """
    counts = logits.mask & padding_mask[:, None]  # b q l
    losses = [
        functional.cross_entropy(logits.values[:, q][counts[:, q]], codes[:, q][counts[:, q]])
        for q in range(codes.shape[1])
    ]
    return torch.stack(losses)
