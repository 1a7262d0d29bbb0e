import pytest
import torch

from sat_config.run import Experiment
from sat_preencode.device import choose_device, choose_format, computing, describe_device
from sat_preencode.errors import PreencodeError

CPU = torch.device("cpu")


@pytest.fixture
def without_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("without_gpu")
def test_auto_without_gpu_is_the_cpu():
    assert choose_device(Experiment()) == CPU


@pytest.mark.usefixtures("without_gpu")
@pytest.mark.parametrize("accelerator", ["gpu", "cuda", "mps"])
def test_accelerator_that_is_not_there_is_refused(accelerator):
    with pytest.raises(PreencodeError, match=f"accelerator is '{accelerator}'.*has cpu only"):
        choose_device(Experiment(accelerator=accelerator))


@pytest.mark.usefixtures("two_gpus")
def test_auto_and_gpu_take_the_first_and_devices_names_another():
    assert choose_device(Experiment()) == torch.device("cuda", 0)
    assert choose_device(Experiment(accelerator="gpu", devices=2)) == torch.device("cuda", 0)
    assert choose_device(Experiment(devices=(1, 0))) == torch.device("cuda", 1)
    assert choose_device(Experiment(accelerator="cpu", devices=2)) == CPU


@pytest.mark.usefixtures("two_gpus")
def test_gpu_number_that_is_not_there_is_refused():
    with pytest.raises(PreencodeError, match="asks for GPU 2, and this machine has 2"):
        choose_device(Experiment(devices=(2,)))


def test_cpu_computes_in_float32_whatever_precision_says():
    half = Experiment(precision="bf16-mixed", devices=2)
    assert choose_format(half, device=CPU) is torch.float32
    assert choose_format(half, device=torch.device("cuda")) is torch.bfloat16
    text = describe_device(half, device=CPU, dtype=torch.float32)
    assert text.startswith("cpu, float32; precision bf16-mixed is for GPUs; one device encodes")


def test_computing_builds_no_graph_and_restores_flags():
    before = torch.backends.cudnn.allow_tf32
    with computing(CPU, torch.float32):
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.is_grad_enabled()
    assert torch.backends.cudnn.allow_tf32 == before
