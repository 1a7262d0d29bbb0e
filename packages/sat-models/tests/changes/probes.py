"""What each kind of model is asked, to see whether two of them do the same.

A probe makes inputs once, from the model of a document, and asks every variant with these: what
audio is encoded to, all else that a trained model gives, and one step of training.
"""

from types import SimpleNamespace

import torch

BATCH = 2


def generator():
    return torch.Generator().manual_seed(3)


def weighted(*tensors):
    """A number that depends on every value."""
    return sum((t.float() * torch.linspace(0.5, 1.5, t.numel()).view_as(t)).sum() for t in tensors)


class Codec:
    """Autoencoders and hyperencoders."""

    def inputs(self, model, config):
        audio = torch.randn(BATCH, model.in_channels, 4 * model.hop_length)
        model.train().encode(audio)  # which gives some codebooks a start
        return SimpleNamespace(audio=audio, latents=model.eval().encode(audio).latents.detach())

    def latents(self, model, inputs):
        encoding = model.encode(inputs.audio, generator=generator())
        found = {"latents": encoding.latents, "tokens": encoding.tokens}
        return found | {"mean": model.encode(inputs.audio, sample=False).latents}

    def results(self, model, inputs):
        return {"audio": model.decode(inputs.latents, generator=generator())}

    def training(self, model, inputs):
        out = model(inputs.audio)
        loss = weighted(out.audio) + sum(out.losses.values())
        loss.backward()
        return {"audio": out.audio.detach(), "latents": out.latents.detach(), **out.losses}


class Diffusion:
    """Unconditional diffusion models."""

    def __init__(self, frames=16):
        self.frames = frames

    def inputs(self, model, config):
        frames = self.frames * model.frame_multiple
        audio = None
        if model.pretransform is not None:
            audio = torch.randn(BATCH, model.pretransform.channels, frames * model.hop_length)
        x, t = torch.randn(BATCH, model.io_channels, frames), torch.rand(BATCH)
        return SimpleNamespace(audio=audio, x=x, t=t)

    def latents(self, model, inputs):
        if inputs.audio is None or model.pretransform is None:
            return {"pretransform": model.pretransform is not None}
        if model.pretransform.is_discrete:
            return {"codes": model.pretransform.encode_tokens(inputs.audio)}
        return {"latents": model.pretransform.encode(inputs.audio, generator=generator())}

    def results(self, model, inputs):
        found = {"prediction": self.predict(model, inputs), "objective": type(model.objective)}
        if inputs.audio is not None:
            found["decoded"] = model.to_audio(model.to_latents(inputs.audio))
        return found

    def predict(self, model, inputs):
        return model(inputs.x, inputs.t)

    def training(self, model, inputs):
        found = {}
        if inputs.audio is not None:
            found["latents"] = model.to_latents(inputs.audio)
            if found["latents"].requires_grad:
                weighted(found["latents"]).backward()
        prediction = self.predict(model, inputs)
        weighted(prediction).backward()
        return found | {"prediction": prediction.detach(), "objective": type(model.objective)}


class Conditioned(Diffusion):
    """Diffusion models that metadata steers."""

    def __init__(self, metadata):
        super().__init__()
        self.metadata = metadata

    def predict(self, model, inputs):
        return model(inputs.x, inputs.t, model.condition(self.metadata))

    def results(self, model, inputs):
        found = super().results(model, inputs)
        if model.conditioner is not None:
            for name, condition in model.conditioner(self.metadata, device="cpu").items():
                found |= {f"condition {name}": condition.embeddings, f"mask {name}": condition.mask}
        shift = model.distribution_shift
        moments = torch.linspace(0.1, 0.9, 5)
        lengths = (8, 100, 512, 3000)
        shifted = () if shift is None else [shift(moments, frames=count) for count in lengths]
        return found | {f"shift {at}": times for at, times in enumerate(shifted)}


class Decoded(Diffusion):
    """Diffusion autoencoders."""

    def inputs(self, model, config):
        audio = torch.randn(BATCH, model.in_channels, 4 * model.length_multiple)
        latents = model.train().encode(audio).latents.detach()
        x = torch.randn_like(model.to_signal(audio))
        return SimpleNamespace(audio=audio, x=x, t=torch.rand(BATCH), latents=latents)

    def latents(self, model, inputs):
        return {"latents": model.encode(inputs.audio, generator=generator()).latents}

    def results(self, model, inputs):
        return {"prediction": self.predict(model, inputs), "objective": type(model.objective)}

    def predict(self, model, inputs):
        condition = model.condition_for(inputs.latents, generator=generator())
        return model(inputs.x, inputs.t, condition)

    def training(self, model, inputs):
        encoding = model.encode(inputs.audio)
        prediction = model(inputs.x, inputs.t, model.condition_for(encoding.latents))
        (weighted(prediction) + sum(encoding.losses.values())).backward()
        found = {"prediction": prediction.detach(), "latents": encoding.latents.detach()}
        return found | encoding.losses


class Language:
    """Language models of codes."""

    def __init__(self, metadata):
        self.metadata = metadata

    def inputs(self, model, config):
        audio = torch.randn(BATCH, model.pretransform.channels, 6 * model.hop_length)
        return SimpleNamespace(audio=audio, codes=model.to_codes(audio))

    def latents(self, model, inputs):
        return {"codes": model.to_codes(inputs.audio)}

    def results(self, model, inputs):
        logits = model(inputs.codes, model.condition(self.metadata))
        return {"logits": logits.values, "mask": logits.mask, "audio": model.to_audio(inputs.codes)}

    def training(self, model, inputs):
        logits = model(inputs.codes, model.condition(self.metadata))
        weighted(logits.values[:, logits.mask]).backward()
        return {"logits": logits.values.detach(), "mask": logits.mask}
