"""Every optimizer and scheduler of the schema, and the settings of a resumed one."""

import inspect
import math
import sys
from types import SimpleNamespace

import msgspec
import pytest
import torch
from torch import nn

from sat_config import MissingExtraError
from sat_config.audio.optimizer import AdamW8bitNode, FusedAdamNode, OptimizerGroup
from sat_config.audio.scheduler import InverseLRNode
from sat_train.optim import TORCH_OPTIMIZERS, TORCH_SCHEDULERS, build_updater
from sat_train.steps import Updater, gradient_norm

NEEDED = {
    "StepLR": {"step_size": 1},
    "MultiStepLR": {"milestones": [1]},
    "ExponentialLR": {"gamma": 0.5},
    "CosineAnnealingLR": {"T_max": 4},
    "CosineAnnealingWarmRestarts": {"T_0": 4},
    "CyclicLR": {"base_lr": 0.1, "max_lr": 0.2},
    "OneCycleLR": {"max_lr": 0.1, "total_steps": 4},
}
"""Settings without a default."""


def group(optimizer="AdamW", scheduler=None, /, **config):
    node = {"optimizer": {"type": optimizer, "config": config}}
    if scheduler is not None:
        node["scheduler"] = {"type": scheduler, "config": NEEDED.get(scheduler, {})}
    return msgspec.convert(node, OptimizerGroup)


def updater(node, *, weights=None, allow_fused=True):
    weights = [nn.Parameter(torch.ones(3))] if weights is None else weights
    return build_updater(node, weights, allow_fused=allow_fused)


def tag(node):
    return node.__struct_config__.tag


@pytest.mark.parametrize("node", TORCH_OPTIMIZERS, ids=tag)
def test_every_optimizer_takes_a_step_down(node):
    weight = nn.Parameter(torch.full((3,), 2.0))
    optimizer = updater(group(tag(node)), weights=[weight]).optimizer
    assert type(optimizer).__name__ == tag(node)
    weight.square().sum().backward()
    optimizer.step()
    assert (weight < 2).all()


@pytest.mark.parametrize("node", TORCH_SCHEDULERS, ids=tag)
def test_every_scheduler_is_stepped_with_an_optimizer(node):
    made = updater(group("SGD", tag(node), lr=0.1, momentum=0.5))
    assert type(made.scheduler).__name__ == tag(node)
    made.optimizer.step()
    made.scheduler.step()


@pytest.mark.parametrize(
    ("node", "made"),
    [*TORCH_OPTIMIZERS.items(), *TORCH_SCHEDULERS.items()],
    ids=lambda x: x.__name__,
)
def test_settings_have_torchs_names(node, made):
    config = inspect.get_annotations(node, eval_str=False)["config"]
    if isinstance(config, str):  # which it is until the schema has been asked for it
        config = getattr(sys.modules[node.__module__], config)
    fields = msgspec.structs.fields(config)
    assert {field.name for field in fields} <= set(inspect.signature(made).parameters)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD", "Adagrad"])
def test_kernels_are_fused_where_the_device_has_them(name):
    assert updater(group(name)).optimizer.defaults["fused"] is True
    assert updater(group(name), allow_fused=False).optimizer.defaults["fused"] is None
    assert updater(group(name, foreach=True)).optimizer.defaults["fused"] is None
    assert updater(group(name, fused=False)).optimizer.defaults["fused"] is False
    meta = [nn.Parameter(torch.ones(3, device="meta"))]
    assert updater(group(name), weights=meta).optimizer.defaults["fused"] is None


@pytest.mark.parametrize(
    ("node", "extra"), [(AdamW8bitNode, "8bit"), (FusedAdamNode, "deepspeed")], ids=str
)
def test_missing_package_names_the_extra(node, extra, monkeypatch):
    for module in ("bitsandbytes", "deepspeed", "deepspeed.ops", "deepspeed.ops.adam"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'sat-train\[{extra}\]'"):
        updater(group(tag(node)))


def test_8_bit_optimizer_gets_the_settings_that_it_still_has(monkeypatch):
    seen = {}
    made = SimpleNamespace(
        AdamW8bit=lambda weights, **settings: seen.update(settings) or SGD(weights)
    )
    monkeypatch.setitem(sys.modules, "bitsandbytes", SimpleNamespace(optim=made))
    updater(group("AdamW8bit", lr=1e-3))
    assert set(seen) == {"lr", "betas", "eps", "weight_decay", "min_8bit_size", "is_paged"}


def SGD(weights):  # noqa: N802 - stands in for a class
    return torch.optim.SGD(weights, lr=1e-3)


def test_fused_adam_of_deepspeed_gets_its_settings(monkeypatch):
    seen = {}
    package = SimpleNamespace(FusedAdam=lambda weights, **s: seen.update(s) or SGD(weights))
    monkeypatch.setitem(sys.modules, "deepspeed.ops.adam", package)
    for module in ("deepspeed", "deepspeed.ops"):
        monkeypatch.setitem(sys.modules, module, SimpleNamespace())
    updater(group("FusedAdam", lr=2e-3))
    assert seen["lr"] == 2e-3
    assert seen["adam_w_mode"] is True


# ------------------------------------------------------------------------------- after a resume


def stepped(made: Updater, count):
    for _ in range(count):
        made.optimizer.step()
        if made.scheduler is not None:
            made.scheduler.step()
    return made


def resumed(node, *, of, steps):
    """An updater of `node` with the state that one of `of` has after some steps."""
    old, new = stepped(updater(of), steps), updater(node)
    new.optimizer.load_state_dict(old.optimizer.state_dict())
    if new.scheduler is not None:
        new.scheduler.load_state_dict(old.scheduler.state_dict())
    new.restore_settings()
    return new


def rate(made):
    return made.optimizer.param_groups[0]["lr"]


def test_changed_settings_hold_after_a_resume():
    made = resumed(group(lr=1e-4, weight_decay=0.5), of=group(lr=1e-3), steps=2)
    assert (rate(made), made.optimizer.param_groups[0]["weight_decay"]) == (1e-4, 0.5)


def test_schedule_goes_on_where_it_was():
    node = group("SGD", "ExponentialLR", lr=0.8)
    made = resumed(node, of=node, steps=2)
    assert rate(made) == pytest.approx(0.2)
    assert rate(stepped(made, 1)) == pytest.approx(0.1)


def test_changed_rate_keeps_its_place_in_the_schedule():
    made = resumed(
        group("SGD", "ExponentialLR", lr=0.4), of=group("SGD", "ExponentialLR", lr=0.8), steps=2
    )
    assert rate(made) == pytest.approx(0.1)


def test_changed_rate_moves_a_schedule_that_is_computed_from_it():
    node = {"type": tag(InverseLRNode), "config": {"inv_gamma": 1.0, "power": 1.0}}
    old, new = (
        msgspec.convert(
            {"optimizer": {"type": "SGD", "config": {"lr": lr}}, "scheduler": node}, OptimizerGroup
        )
        for lr in (1.0, 2.0)
    )
    made = resumed(new, of=old, steps=3)
    assert rate(made) == pytest.approx(2 / 4)
    assert rate(stepped(made, 1)) == pytest.approx(2 / 5)


def scheduled(scheduler, **config):
    node = {
        "optimizer": {"type": "SGD", "config": {"lr": 1.0, "momentum": 0.5}},
        "scheduler": {"type": scheduler, "config": config},
    }
    return msgspec.convert(node, OptimizerGroup)


def test_changed_settings_of_a_schedule_hold_after_a_resume():
    old, new = (scheduled("InverseLR", inv_gamma=gamma) for gamma in (1.0, 4.0))
    made = resumed(new, of=old, steps=3)
    assert rate(stepped(made, 1)) == pytest.approx(1 / (1 + 4 / 4))


def test_changed_cycle_holds_after_a_resume():
    old, new = (scheduled("OneCycleLR", max_lr=1.0, total_steps=steps) for steps in (4, 100))
    made = resumed(new, of=old, steps=3)
    expected = rate(stepped(updater(new), 8))
    assert rate(stepped(made, 5)) == pytest.approx(expected)


def test_momentum_of_a_cycle_keeps_its_place():
    node = group("SGD", "OneCycleLR", momentum=0.5)
    old = stepped(updater(node), 2)
    made = resumed(node, of=node, steps=2)
    assert made.optimizer.param_groups[0]["momentum"] == old.optimizer.param_groups[0]["momentum"]
    assert rate(made) == rate(old)


# ------------------------------------------------------------------------------------- gradients


def test_gradient_norm_is_that_of_all_weights_together():
    weights = [
        nn.Parameter(torch.ones(2)),
        nn.Parameter(torch.ones(1)),
        nn.Parameter(torch.ones(1)),
    ]
    weights[0].grad, weights[1].grad = torch.tensor([2.0, 2.0]), torch.tensor([1.0])
    assert float(gradient_norm(weights)) == pytest.approx(3.0)
    assert float(gradient_norm([])) == 0
    weights[1].grad = torch.tensor([math.nan])
    assert not math.isfinite(float(gradient_norm(weights)))
