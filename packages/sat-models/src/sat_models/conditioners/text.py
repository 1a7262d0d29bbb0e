"""Conditioners of text: T5, and a learned table for the tokens of a pretrained tokenizer."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from sat_config.audio.conditioner import LutNode, T5Node
from sat_models.conditioners.base import (
    Condition,
    Conditioner,
    Hidden,
    build_conditioner,
    make_projection,
    project,
)
from sat_models.conditioners.hub import import_transformers, load_local
from sat_models.errors import ConditionError
from sat_models.layers.positions import AbsolutePositions
from sat_models.pretransforms.base import Pretransform

Tokenize = Callable[[list[str]], tuple[Int[Tensor, "b k"], Bool[Tensor, "b k"]]]
"""Texts to tokens, padded to one length, and a mask that is True where they are no padding."""


class T5Conditioner(Conditioner):
    """The last layer of a T5 encoder (Raffel et al. 2020, 1910.10683); zeros where it is padding.

    The encoder is frozen and in float16, and no part of the state dict, unless it is trained.

    Deviation from SAT: an encoder that is trained keeps float32, since in float16 most updates are
    too small to change a weight.
    """

    def __init__(
        self,
        output_dim: int,
        *,
        tokenize: Tokenize,
        encoder: nn.Module,
        encoder_width: int,
        trained: bool,
        project_out: bool,
    ) -> None:
        """Take an encoder in.

        Args:
            output_dim: Width of the embeddings.
            tokenize: Cuts texts into tokens.
            encoder: A T5 encoder of transformers.
            encoder_width: Width of what it gives.
            trained: Whether it is trained.
            project_out: Learn a projection even where widths agree.
        """
        super().__init__()
        self.output_dim, self.tokenize = output_dim, tokenize
        encoder = encoder.eval().requires_grad_(trained)
        self.hidden: Hidden | None = None
        if trained:
            self.model = encoder
        else:
            self.hidden = Hidden(encoder.half())
        self.proj_out = make_projection(encoder_width, output_dim, always=project_out)

    def forward(self, values: Sequence[object], *, device: torch.device | str) -> Condition:
        """Embed texts.

        Raises:
            ConditionError: A value is no text.
        """
        tokens, mask = (part.to(device) for part in self.tokenize(_texts(values)))
        kind = torch.device(device).type
        if self.hidden is None:
            encoded = self.model(input_ids=tokens, attention_mask=mask).last_hidden_state
        else:
            encoder = self.hidden.on(device)
            with torch.no_grad(), torch.autocast(kind, enabled=False):
                encoded = encoder(input_ids=tokens, attention_mask=mask).last_hidden_state
        return Condition(project(self.proj_out, encoded) * mask[..., None], mask)

    def train(self, mode: bool = True) -> "T5Conditioner":
        """Follow the mode of the model around it, but leave the encoder in eval mode, as SAT."""
        super().train(mode)
        if self.hidden is None:
            self.model.eval()
        return self


class TokenTableConditioner(Conditioner):
    """A learned embedding per token of a text; zeros, but for positions, where it is padding."""

    def __init__(
        self,
        output_dim: int,
        *,
        tokenize: Tokenize,
        num_tokens: int,
        positions: AbsolutePositions | None,
        project_out: bool,
    ) -> None:
        """Draw the table.

        Args:
            output_dim: Width of the embeddings.
            tokenize: Cuts texts into tokens.
            num_tokens: Different tokens that there are.
            positions: Positions that are added in the end.
            project_out: Learn a projection.
        """
        super().__init__()
        self.output_dim, self.tokenize = output_dim, tokenize
        self.proj_out = make_projection(output_dim, output_dim, always=project_out)
        self.token_embedder = nn.Embedding(num_tokens, output_dim)
        self.abs_pos_emb = positions

    def forward(self, values: Sequence[object], *, device: torch.device | str) -> Condition:
        """Embed texts.

        Raises:
            ConditionError: A value is no text.
        """
        tokens, mask = (part.to(device) for part in self.tokenize(_texts(values)))
        embeddings = self.proj_out(self.token_embedder(tokens)) * mask[..., None]
        if self.abs_pos_emb is not None:
            embeddings = embeddings + self.abs_pos_emb(tokens.shape[1], start=0)
        return Condition(embeddings, mask)


class PretrainedTokenizer:
    """A tokenizer of transformers that pads, and cuts, every text to one length."""

    def __init__(self, tokenizer: Callable[..., dict[str, Tensor]], *, max_length: int) -> None:
        self.tokenizer, self.max_length = tokenizer, max_length

    def __call__(self, texts: list[str]) -> tuple[Int[Tensor, "b k"], Bool[Tensor, "b k"]]:
        """Cut texts into tokens."""
        encoded = self.tokenizer(
            texts,
            truncation=True,
            max_length=self.max_length,
            padding="max_length",
            return_tensors="pt",
        )
        return encoded["input_ids"], encoded["attention_mask"].bool()


def _texts(values: Sequence[object]) -> list[str]:
    for value in values:
        if not isinstance(value, str):
            raise ConditionError(f"expected a text, got {value!r}")
    return [str(value) for value in values]


@build_conditioner.register
def _(
    node: T5Node, *, cond_dim: int, sample_rate: int, pretransform: Pretransform | None
) -> T5Conditioner:
    config, name = node.config, node.config.t5_model_name
    transformers = import_transformers(purpose=f"the text conditioner {node.id!r}")
    tokenizer = load_local(
        transformers.AutoTokenizer.from_pretrained, name, transformers=transformers
    )
    encoder = load_local(
        transformers.T5EncoderModel.from_pretrained, name, transformers=transformers
    )
    return T5Conditioner(
        node.width(cond_dim),
        tokenize=PretrainedTokenizer(tokenizer, max_length=config.max_length),
        encoder=encoder,
        encoder_width=config.encoder_width,
        trained=config.enable_grad,
        project_out=config.project_out,
    )


@build_conditioner.register
def _(
    node: LutNode, *, cond_dim: int, sample_rate: int, pretransform: Pretransform | None
) -> TokenTableConditioner:
    config, width = node.config, node.width(cond_dim)
    transformers = import_transformers(purpose=f"the text conditioner {node.id!r}")
    tokenizer = load_local(
        transformers.AutoTokenizer.from_pretrained, config.tokenizer_name, transformers=transformers
    )
    if config.special_tokens:
        tokenizer.add_special_tokens({"additional_special_tokens": list(config.special_tokens)})
    positions = AbsolutePositions(width, max_length=config.max_length)
    return TokenTableConditioner(
        width,
        tokenize=PretrainedTokenizer(tokenizer, max_length=config.max_length),
        num_tokens=len(tokenizer),
        positions=positions if config.use_abs_pos_emb else None,
        project_out=config.project_out,
    )
