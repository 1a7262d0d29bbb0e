"""What run keys make of the machine: real where this one can, else the right arguments."""

import sys
from unittest.mock import MagicMock

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import FSDPPrecision, HalfPrecision
from pytorch_lightning.strategies import DDPStrategy, DeepSpeedStrategy, FSDPStrategy

import sat_config
from sat_config.errors import MissingExtraError
from sat_config.run import Runtime
from sat_train import devices, runtime, trainer
from sat_train.run_folder import RunFolder
from sat_train.writer import CheckpointWriter


@pytest.fixture
def experiment(line_document):
    def make(**changes):
        return sat_config.decode({**line_document, **changes})

    return make


@pytest.fixture
def arguments(experiment, monkeypatch, tmp_path):
    """What Lightning's Trainer would be made with."""

    def find(**changes):
        found = {}
        monkeypatch.setattr(trainer.pl, "Trainer", lambda **given: found.update(given))
        trainer.build_trainer(experiment(**changes), run=RunFolder(tmp_path), resumed_at=0)
        return found

    return find


def test_one_device_needs_no_strategy(experiment):
    assert devices.build_strategy(experiment()) == "auto"


@pytest.mark.parametrize(
    "setting",
    [{"devices": 2}, {"devices": [0, 1]}, {"num_nodes": 2}, {"strategy": "ddp"}],
    ids=str,
)
def test_several_devices_work_together_by_ddp(experiment, setting):
    strategy = devices.build_strategy(experiment(**setting))
    assert type(strategy) is DDPStrategy
    assert strategy._ddp_kwargs == {"find_unused_parameters": True}


def test_all_gpus_are_counted(experiment, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    changes = {"accelerator": "auto", "devices": "auto", "num_nodes": 2}
    assert devices.count_devices(experiment(**changes)) == 16
    assert devices.count_devices(experiment(**{**changes, "accelerator": "cpu"})) == 2


def test_fsdp_shards_large_modules_and_saves_whole_files(experiment):
    strategy = devices.build_strategy(experiment(strategy="fsdp"))
    assert type(strategy) is FSDPStrategy
    assert strategy._state_dict_type == "full"
    assert strategy.kwargs["auto_wrap_policy"].keywords == {"min_num_params": 10_000_000}
    assert isinstance(devices.build_precision(experiment(strategy="fsdp")), FSDPPrecision)


def test_deepspeed_is_an_extra(experiment):
    with pytest.raises(MissingExtraError, match=r"pip install 'sat-train\[deepspeed\]'"):
        devices.build_strategy(experiment(strategy="deepspeed"))


def test_deepspeed_is_set_up_as_sat_does(experiment, monkeypatch):
    monkeypatch.setattr(devices, "find_spec", lambda _name: True)
    for name in ("_DEEPSPEED_AVAILABLE", "_DEEPSPEED_GREATER_EQUAL_0_16"):
        monkeypatch.setattr(f"pytorch_lightning.strategies.deepspeed.{name}", True)
    monkeypatch.setitem(sys.modules, "deepspeed", MagicMock())
    strategy = devices.build_strategy(experiment(strategy="deepspeed"))
    assert type(strategy) is DeepSpeedStrategy
    assert strategy.load_full_weights
    stage = strategy.config["zero_optimization"]
    assert {key: stage[key] for key in ("stage", "overlap_comm", "contiguous_gradients")} == {
        "stage": 2,
        "overlap_comm": True,
        "contiguous_gradients": True,
    }
    assert stage["reduce_scatter"]
    assert (stage["reduce_bucket_size"], stage["allgather_bucket_size"]) == (500_000_000,) * 2


def test_other_strategies_are_lightnings(experiment):
    assert devices.build_strategy(experiment(strategy="ddp_notebook")) == "ddp_notebook"


@pytest.mark.parametrize("accelerator", ["auto", "cpu", "gpu", "cuda", "mps"])
def test_accelerator_devices_and_nodes_reach_lightning(arguments, accelerator):
    found = arguments(accelerator=accelerator, devices=[0, 2], num_nodes=3)
    assert (found["accelerator"], found["devices"], found["num_nodes"]) == (accelerator, [0, 2], 3)
    assert isinstance(found["strategy"], DDPStrategy)


@pytest.mark.parametrize("precision", ["32", "32-true", "16-mixed", "bf16-mixed", "16", "bf16"])
def test_lightning_takes_care_of_mixed_precision(arguments, precision):
    found = arguments(precision=precision)
    assert found["precision"] == precision
    assert [type(plugin) for plugin in found["plugins"]] == [CheckpointWriter]


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_true_half_precision_leaves_batches_alone(arguments, precision):
    found = arguments(precision=precision)
    assert found["precision"] is None
    plugin, _ = found["plugins"]
    assert isinstance(plugin, HalfPrecision)
    assert plugin.precision == precision
    batch = object()
    assert plugin.convert_input(batch) is batch


def test_lightning_does_not_requeue_slurm_jobs_itself(arguments, monkeypatch):
    environment = {"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "7"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    _, slurm = sorted(arguments()["plugins"], key=lambda plugin: type(plugin).__name__)
    assert slurm.auto_requeue is False


def test_flags_of_the_process_are_set_in_one_place(monkeypatch):
    calls = {}
    for name in ("set_num_threads", "set_float32_matmul_precision", "use_deterministic_algorithms"):
        monkeypatch.setattr(torch, name, lambda value, name=name: calls.update({name: value}))
    monkeypatch.setattr(
        torch.multiprocessing,
        "set_sharing_strategy",
        lambda value: calls.update(set_sharing_strategy=value),
    )
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "kept")
    runtime.set_flags(
        Runtime(
            num_threads=3,
            matmul_precision="high",
            deterministic=True,
            sharing_strategy="file_system",
        )
    )
    assert calls == {
        "set_num_threads": 3,
        "set_float32_matmul_precision": "high",
        "use_deterministic_algorithms": True,
        "set_sharing_strategy": "file_system",
    }


def test_networks_are_compiled_by_a_run_key(line_document, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compiled.append(type(self)))
    document = {**line_document, "runtime": {"compile": True}, "max_steps": 1}
    from sat_train import fit

    fit(sat_config.decode(document))
    assert compiled == [torch.nn.Linear]


@pytest.mark.parametrize(
    ("variables", "rank"),
    [({}, 0), ({"LOCAL_RANK": "1"}, 1), ({"NODE_RANK": "1"}, 1), ({"RANK": "5"}, 5)],
)
def test_rank_is_known_before_the_processes_meet(monkeypatch, variables, rank):
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert runtime.process_rank() == rank


def test_lightning_is_not_a_known_broken_version():
    assert pl.__version__ not in ("2.6.2", "2.6.3")
