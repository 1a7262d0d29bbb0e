import pytest
import torch

from sat_config.audio.preencode import Preencode
from sat_config.run import Experiment
from sat_preencode.device import (
    Arithmetic,
    choose_arithmetic,
    choose_device,
    computing,
    describe_device,
)
from sat_preencode.errors import PreencodeError

CPU = torch.device("cpu")
GPU = torch.device("cuda")


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
    half, table = Experiment(precision="bf16-mixed", devices=2), Preencode(output_path="latents")
    arithmetic = choose_arithmetic(half, table, device=CPU)
    assert arithmetic == Arithmetic(torch.float32)
    assert choose_arithmetic(half, table, device=GPU) == Arithmetic(torch.bfloat16)
    text = describe_device(half, device=CPU, arithmetic=arithmetic)
    assert text.startswith("cpu, float32; precision bf16-mixed is for GPUs; one device encodes")


@pytest.mark.parametrize("device", [CPU, GPU])
def test_model_half_is_float16_throughout_whatever_precision_says(device):
    table = Preencode(output_path="latents", model_half=True)
    arithmetic = choose_arithmetic(Experiment(precision="bf16-true"), table, device=device)
    assert (arithmetic.dtype, arithmetic.stored) == (torch.float16, torch.float16)
    text = describe_device(Experiment(precision="16-mixed"), device=device, arithmetic=arithmetic)
    assert text == f"{device}, float16 throughout"


def test_computing_builds_no_graph_and_restores_flags():
    before = torch.backends.cudnn.allow_tf32
    with computing(CPU, Arithmetic(torch.float32)):
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.is_grad_enabled()
        assert not torch.is_autocast_enabled("cpu")
    assert torch.backends.cudnn.allow_tf32 == before


def test_only_what_is_half_in_part_computes_under_autocast():
    with computing(CPU, Arithmetic(torch.bfloat16)):
        assert torch.is_autocast_enabled("cpu")
    with computing(CPU, Arithmetic(torch.float16, throughout=True)):
        assert not torch.is_autocast_enabled("cpu")
