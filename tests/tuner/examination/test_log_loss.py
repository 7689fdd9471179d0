"""A loss is judged after its kind, in whatever scale it is logged: what is stuck is named, what learns is left alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.tuner.examination.logs import as_csv, falling, noise, said

AT = np.arange(40)
B64 = {"batch_size": 64}
SHARP = {"batch_size": 32, "temperature": 0.07}
LN_B = {
    "mean": math.log(32),
    "both directions summed": 2 * math.log(32),
    "summed over the batch": 32 * math.log(32),
    "bits": math.log2(32),
    "two views": math.log(63),
    "a queue of 65,536": math.log(65537),
    "scaled by 0.1/0.07": 0.1 / 0.07 * math.log(63),
    "gathered from 8 devices": math.log(256),
}


@pytest.mark.parametrize("scale", LN_B)
def test_a_loss_stuck_at_chance_is_total_collapse_in_every_scale(tmp_path, scale):
    """All embeddings are the same from the first row on, with noise in the fourth digit."""
    loss = LN_B[scale] * (1 + noise(40, 1e-4))
    found = said(as_csv(tmp_path, epoch=AT, contrastive_loss=loss), **SHARP)
    assert found == {"total-collapse": "fail", "stuck-at-chance": "fail"}


@pytest.mark.parametrize("scale", LN_B)
@pytest.mark.parametrize("given", [{}, SHARP, {"batch_size": 256}])
def test_a_loss_that_learns_is_healthy_in_every_scale(tmp_path, scale, given):
    """Whatever the user says of batch and temperature, it falls from where it began."""
    loss = falling(40, LN_B[scale], 0.4 * LN_B[scale]) * (1 + noise(40, 0.01))
    assert not said(as_csv(tmp_path, epoch=AT, loss=loss), **given)


HEALTHY = {
    "a queue that fills": ({"loss": np.r_[np.linspace(6, 9.5, 8), falling(32, 9.5, 7)] + noise(40, 0.03)}, SHARP),
    "SigLIP": ({"siglip_loss": falling(40, 10, 1) + noise(40, 0.05)}, SHARP),
    "SimSiam, spread 1": ({"loss": -falling(40, 0.1, 0.9), "feat_std": 0.9 + noise(40, 0.01)}, SHARP),
    "SimSiam, spread 1/sqrt(2048)": ({"loss": -falling(40, 0.1, 0.9), "z_std": 0.02 + noise(40, 5e-4)}, {}),
    "BYOL": ({"byol_loss": falling(40, 2, 0.2) + noise(40, 0.02)}, B64),
    "triplet": ({"triplet_loss": falling(40, 0.2, 0.02) + noise(40, 0.003), "similarity": falling(40, 0.6, 0.95)}, SHARP),
    "a hard triplet": ({"triplet_loss": falling(40, 0.35, 0.19) + noise(40, 0.01), "val_auc": falling(40, 0.6, 0.9)}, {}),
    "warm restarts": ({"loss": np.r_[falling(20, 4.2, 1.5), falling(20, 2.2, 0.9)]}, B64),
    "warm-up": ({"loss": np.r_[4.16, 4.3, 4.6, 4.4, falling(36, 4.2, 1.3)]}, B64),
    "a spike": ({"loss": np.where(AT == 20, 6.0, falling(40, 4.2, 1.2))}, B64),
    "a spike at the end": ({"loss": np.where(AT == 39, 3.0, falling(40, 4.2, 1.2))}, B64),
    "converged": ({"loss": falling(40, 4.2, 0.05, 20)}, B64),
    "a plateau at ln 8": ({"loss": falling(40, 4.2, math.log(8), 30)}, B64),
    "learnt before the log began": ({"loss": 0.3 + noise(40, 0.005)}, B64),
    "temperature 0.5": ({"loss": falling(40, math.log(256), 5.2) + noise(40, 0.005)}, {"batch_size": 256, "temperature": 0.5}),
    "above chance at first": ({"loss": falling(40, 9, 1) + noise(40, 0.05)}, {"batch_size": 32, "temperature": 0.02}),
    "a learnt temperature": ({"loss": falling(40, 4.1, 1), "tau": falling(40, 0.07, 0.01)}, B64),
    "SupCon scaled up": (
        {"loss": 0.5 / 0.07 * falling(40, math.log(127), 3.4)},
        {"batch_size": 64, "temperature": 0.5, "base_temperature": 0.07},
    ),
    "noise of a tenth": ({"loss": falling(40, 4.2, 1.2) * (1 + noise(40, 0.1))}, B64),
}  # fmt: skip


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_losses_of_every_kind_are_left_alone(tmp_path, name):
    """Not even a warning: a false alarm is worse than silence."""
    columns, given = HEALTHY[name]
    assert not said(as_csv(tmp_path, epoch=AT, **columns), **given)


SICK = {
    "-s/tau": ("broken-contrastive-formula", {"contrastive_loss": -14 + 0.5 * np.exp(-AT / 3)}, {"temperature": 0.07}),
    "-s/tau, tau unknown": ("negative-contrastive-loss", {"loss": -14 + 0.5 * np.exp(-AT / 3)}, {}),
    "-s/1": ("broken-contrastive-formula", {"contrastive_loss": -0.98 - 0.015 * AT / 40}, {"temperature": 1.0}),
    "+s/tau": ("broken-contrastive-formula", {"contrastive_loss": 14.28 - 0.8 * np.exp(-AT / 10)}, SHARP),
    "+s/0.2": ("broken-contrastive-formula", {"loss": 5 - 0.3 * np.exp(-AT / 10)}, {"batch_size": 32, "temperature": 0.2}),
    "+s/tau, tau unknown": ("loss-rising", {"contrastive_loss": 14.28 - 0.8 * np.exp(-AT / 10)}, {}),
    "a reversed loss": ("loss-rising", {"contrastive_loss": np.linspace(0.4, 3.2, 40) + noise(40, 0.05)}, SHARP),
    "drifting": ("loss-rising", {"loss": np.r_[falling(15, 3.4, 0.8), np.linspace(0.85, 2.2, 25)]}, {}),
    "diverging": ("diverging", {"loss": np.r_[falling(20, 4, 2.5), np.linspace(2.6, 17, 20)]}, {}),
    "diverging from the start": ("diverging", {"loss": np.linspace(4.2, 17, 40)}, B64),
    "a triplet at its margin": ("total-collapse", {"triplet_loss": 0.2 + noise(40, 5e-5), "similarity": np.ones(40)}, SHARP),
    "a triplet that comes to its margin": (
        "total-collapse", {"triplet_loss": np.r_[falling(10, 0.6, 0.3, 8), 0.3 + noise(30, 1e-4)]}, {},
    ),
    "a soft margin": ("total-collapse", {"triplet_loss": 0.6931 + noise(40, 1e-4)}, {}),
    "late, B known": ("total-collapse", {"loss": np.r_[falling(30, 3.5, 1), 3.4657 + noise(10, 1e-3)]}, SHARP),
    "late, B unknown": ("total-collapse", {"loss": np.r_[falling(30, 3.5, 1), 3.4657 + noise(10, 1e-3)]}, {}),
    "late and for long": ("total-collapse", {"triplet_loss": np.r_[falling(12, 0.1, 0.03), np.full(28, 0.1)]}, SHARP),
    "SimSiam, -1 at once": ("total-collapse", {"simsiam_loss": -1 + 0.02 * np.exp(-AT * 3.0)}, {}),
    "SimSiam, no spread": (
        "total-collapse", {"loss": -1 + 0.3 * np.exp(-AT * 3.0), "feat_std": 1e-4 + 0.3 * np.exp(-AT * 2.0)}, {},
    ),
    "SimSiam, two views summed": (
        "total-collapse", {"loss": -2 + 1e-3 * np.exp(-AT / 5), "feat_std": 1e-3 * np.exp(-AT / 9)}, {},
    ),
    "jumping far above chance": ("loss-above-chance", {"loss": 12 + np.abs(noise(40, 3))}, B64),
    "NaN from the first row on": ("not-finite", {"loss": np.full(40, np.nan), "val_acc": np.full(40, 0.5)}, {}),
    "nothing but NaN": ("not-finite", {"loss": np.full(40, np.nan)}, {}),
    "a sigmoid's cell": ("stuck-at-chance", {"sigmoid_loss": 0.6931 + noise(40, 1e-4)}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", SICK)
def test_sick_losses_are_named(tmp_path, name):
    """By what is wrong, not only that something is."""
    right, columns, given = SICK[name]
    assert right in said(as_csv(tmp_path, epoch=AT, **columns), **given)


@pytest.mark.parametrize("given", [{}, B64, SHARP, {"temperature": 0.5}])
def test_no_option_hides_a_triplet_loss_at_its_margin(tmp_path, given):
    """A column named triplet is no InfoNCE, whatever batch and temperature are said to be."""
    path = as_csv(tmp_path, epoch=AT, triplet_loss=np.full(40, 0.2), similarity=np.ones(40))
    assert said(path, **given) == {"total-collapse": "fail"}


def test_noise_is_no_level(tmp_path):
    """A loss that jumps about is at no formula's value, even where its mean is: nothing says that it never fell."""
    loss = math.log(64) + noise(40, 1.2)
    assert not said(as_csv(tmp_path, epoch=AT, loss=loss), **B64)


def test_a_range_test_of_the_learning_rate_is_meant_to_explode(tmp_path):
    """Where the rate grows in equal factors to the end; the same loss at a constant rate has diverged."""
    loss = np.r_[falling(30, 4.1, 2.2), np.linspace(3, 30, 10)]
    assert not said(as_csv(tmp_path, lr=np.geomspace(1e-7, 1, 40), loss=loss))
    assert said(as_csv(tmp_path, lr=np.full(40, 1e-3), loss=loss)) == {"diverging": "fail"}


def test_a_loss_that_is_never_logged_is_no_nan(tmp_path):
    """A table has a column for it all the same, beside the loss that is."""
    assert not said(as_csv(tmp_path, epoch=AT, loss=falling(40, 4, 1), aux_loss=np.full(40, np.nan), val_loss=[np.nan] * 40))


def test_without_a_batch_size_a_flat_loss_is_a_warning(tmp_path):
    """Any number is the chance of some batch: the likeliest is named, and the option that would settle it."""
    assert said(as_csv(tmp_path, epoch=AT, loss=np.full(40, math.log(64)))) == {"stuck-at-chance": "warn"}
