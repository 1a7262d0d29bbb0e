import pytest

from sat_config.audio.dataset import AudioDirNode, Folder
from sat_config.audio.training import AutoencoderDemo
from sat_models.support import UnsupportedError, refuse_unsupported


def test_setting_that_nothing_acts_on_is_named():
    node = AudioDirNode(datasets=(Folder(id="a", path="b"),), random_crop=False, phase_flip=0.0)
    with pytest.raises(UnsupportedError, match=r"does not act on dataset\.phase_flip: leave it"):
        refuse_unsupported(node, {"datasets", "random_crop"}, where="dataset")


def test_default_and_honoured_settings_pass():
    refuse_unsupported(AutoencoderDemo(demo_every=3), {"demo_every"}, where="training.demo")
    refuse_unsupported(AutoencoderDemo(), (), where="training.demo")


def test_root_settings_have_no_leading_dot():
    with pytest.raises(UnsupportedError, match="act on demo_every:"):
        refuse_unsupported(AutoencoderDemo(demo_every=3), (), where="")
