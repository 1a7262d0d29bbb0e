"""Recorded cases run by kind, or, where a kind holds several things, by name; none is left out."""

import golden
import pytest

BY_KIND = {
    "audio",
    "autoencoder",
    "bottleneck",
    "codebook_pattern",
    "conditioner",
    "diffusion_autoencoder",
    "diffusion_cond",
    "diffusion_cond_inpaint",
    "discriminator",
    "dit",
    "lm",
    "pretransform",
    "sampler",
    "unet",
}
IN_TRAINING = {"schedule", "training"}
BY_NAME = {
    "inpaint_mask": {"inpaint_mask_causal", "inpaint_mask_mixed", "inpaint_mask_segments"},
    "timesteps": {
        "timesteps_alphas_sigmas",
        "timesteps_log_snr",
        "timesteps_logit_normal",
        "timesteps_shift",
        "timesteps_shift_sine",
        "timesteps_trunc_logit_normal",
        "timesteps_uniform",
    },
}


def test_every_kind_of_case_has_a_test():
    paths = sorted(golden.FOLDER.glob("*.json"))
    assert paths
    kinds = {golden.case(path.stem).kind for path in paths}
    assert kinds <= BY_KIND | IN_TRAINING | {"loss"} | BY_NAME.keys()


@pytest.mark.parametrize("kind", BY_NAME)
def test_every_case_that_is_run_by_name_is_named(kind):
    assert {case.name for case in golden.cases(kind)} == BY_NAME[kind]


def test_every_loss_is_run_by_its_class_or_as_a_list_of_modules():
    (other,) = (case for case in golden.cases("loss") if "class" not in case.config)
    assert other.name == "loss_modules"
