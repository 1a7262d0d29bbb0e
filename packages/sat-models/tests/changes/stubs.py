"""Stand-ins for what pretrained conditioners import, each with the interface that is used of it."""

from types import SimpleNamespace

import torch
from fakes import fake_module
from torch import nn

from sat_config.audio.conditioner import T5_WIDTHS


class Tokenizer:
    """Characters as tokens."""

    def __init__(self, name):
        self.rows, self.special = 128 + len(name), []

    def __len__(self):
        return self.rows + len(self.special)

    def add_special_tokens(self, tokens):
        self.special = tokens["additional_special_tokens"]

    def __call__(self, texts, *, max_length, **_):
        padded = [text[:max_length].ljust(max_length, "\0") for text in texts]
        ids = torch.tensor([[ord(char) for char in text] for text in padded])
        return {"input_ids": ids, "attention_mask": (ids > 0).long()}


class Encoder(nn.Module):
    """A table of the width that an encoder of that name has."""

    def __init__(self, width):
        super().__init__()
        generator = torch.Generator().manual_seed(width)
        self.table = nn.Embedding.from_pretrained(torch.randn(128, width, generator=generator))

    def forward(self, *, input_ids, attention_mask):
        return SimpleNamespace(last_hidden_state=self.table(input_ids))


class Text(nn.Module):
    """CLAP's text branch, two layers."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(128, 768)

    def forward(self, *, input_ids, attention_mask, output_hidden_states):
        hidden = self.table(input_ids)
        return {"hidden_states": (hidden, 2 * hidden)}


class Clap(nn.Module):
    """CLAP."""

    def __init__(self, enable_fusion, amodel, device):
        super().__init__()
        self.model = nn.Module()
        self.model.text_branch = Text()
        self.model.audio_branch = nn.Linear(1, 512)

    def tokenizer(self, texts):
        return Tokenizer("")(texts, max_length=8)

    def get_text_embedding(self, texts, use_tensor):
        return self.model.text_branch.table.weight[[len(text) for text in texts], :512]

    def get_audio_embedding_from_data(self, audio, use_tensor):
        return self.model.audio_branch(audio.mean(1, keepdim=True))


class Phonemes:
    """A few phonemes."""

    phonemes = ("<pad>", "<unk>", "a", "b", "c")
    p2idx = {name: place for place, name in enumerate(phonemes)}  # noqa: RUF012

    def __call__(self, text):
        return list(text)


def modules():
    """The packages by name."""
    quiet = SimpleNamespace(
        get_verbosity=lambda: 0, set_verbosity_error=lambda: None, set_verbosity=lambda _: None
    )
    return {
        "g2p_en": fake_module(G2p=Phonemes),
        "laion_clap": fake_module(CLAP_Module=Clap),
        "transformers": fake_module(
            logging=quiet,
            AutoTokenizer=SimpleNamespace(from_pretrained=lambda name, **_: Tokenizer(name)),
            T5EncoderModel=SimpleNamespace(
                from_pretrained=lambda name, **_: Encoder(T5_WIDTHS[name])
            ),
        ),
    }


def write_clap(path):
    """Weights for the stand-in of CLAP."""
    weights = Clap(True, "HTSAT-base", "cpu").model.state_dict()
    torch.save({"state_dict": {f"module.{name}": value for name, value in weights.items()}}, path)
