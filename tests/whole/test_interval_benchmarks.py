"""The benchmarks of intervals and of the corrected value: their simulated truth is true, and misses are told."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import coverage, expected_value, report
from benchmarks.simulated_scores import Cell, draw_pairs, draw_scores, true_accuracy, true_auc


def test_the_truth_of_simulated_scores_is_what_many_of_them_show():
    """Accuracy of each label at a cut, AUC, variance 1 whatever the dependence, and how alike two models are."""
    rng = np.random.default_rng(0)
    pairs = draw_pairs(200, 4, rng)
    positive, gaps = pairs.labels == 1, np.array([1.5, 1.0])
    scores = draw_scores(pairs, gaps, 0.5, rng, 200)
    centred = scores - gaps[:, None, None] * (pairs.labels - 0.5)
    assert centred.var(axis=(1, 2)) == pytest.approx([1, 1], abs=0.02)
    assert (centred[0] * centred[1]).mean() == pytest.approx(0.5 * 0.8 + 0.5 * 0.6, abs=0.02)
    correct = ((scores[0] >= 0.1) == positive).mean(axis=0)
    expected = true_accuracy(1.5, 0.1, pairs.labels)
    for side in (positive, ~positive):
        assert correct[side].mean() == pytest.approx(expected[side].mean(), abs=0.01)
    couples = scores[0][:, positive][:, :, None] > scores[0][:, ~positive][:, None, :60]
    assert couples.mean() == pytest.approx(true_auc(1.5), abs=0.01)


def test_each_identity_has_half_of_its_pairs_with_itself():
    """And is in front of as many with another identity; dependence makes pairs that share one alike."""
    rng = np.random.default_rng(1)
    pairs = draw_pairs(30, 6, rng)
    same = pairs.front == pairs.angle
    assert np.array_equal(same, pairs.labels == 1)
    assert (np.bincount(pairs.front[same]) == 3).all() and (np.bincount(pairs.front[~same]) == 3).all()
    scores = draw_scores(pairs, np.zeros(1), 0.9, rng, 500)[0]
    assert np.corrcoef(scores[:, 0], scores[:, 30])[0, 1] == pytest.approx(0.9, abs=0.05)
    assert abs(np.corrcoef(scores[:, 0], scores[:, 1])[0, 1]) < 0.15


def test_coverage_counts_intervals_that_hold_the_truth():
    """160 simulations of a small cell: each figure is covered about as often as it should be, the same at every call."""
    found = coverage.covered(Cell(16, 4, 0.5), 160)
    assert all(0.88 <= share <= 1 for share in found.coverage) and all(0.8 < width < 1.4 for width in found.width)
    assert coverage.covered(Cell(16, 4, 0.5), 160) == found


def test_a_cell_outside_its_range_is_marked_and_fails(capsys):
    """Too often is a miss as well as too seldom, and so are widths beyond what is needed; not of a smoke run."""
    good = coverage.Covered(Cell(16, 2, 0.0), (0.95,) * 4, (1.0,) * 4)
    wide = coverage.Covered(Cell(60, 2, 0.0), (0.95, 0.99, 0.95, 0.95), (1.0,) * 4)
    broad = coverage.Covered(Cell(60, 2, 0.0), (0.95,) * 4, (1.3,) * 4)
    console = report.console()
    assert coverage.told([good], 10, console, binding=True) == 0
    assert coverage.told([good, wide], 10, console, binding=True) == 1
    assert "99.0 %!" in capsys.readouterr().out
    assert coverage.told([good, broad], 10, console, binding=True) == 1
    assert coverage.told([good, wide, broad], 10, console, binding=False) == 0


def test_a_corrected_value_that_is_off_fails(capsys):
    """The target is of the corrected errors, not of the values that winners show."""
    kind, console = expected_value.Kind(60, 2, False, "auc"), report.console()
    errors = np.tile([0.03, 0.001, 0.03, -0.002, 0.7, 1.0], (10, 1))
    assert expected_value.told([kind], [errors], 10, console, binding=True) == 0
    assert "+0.0300" in capsys.readouterr().out
    errors[:, 3] = -0.006
    assert expected_value.told([kind], [errors], 10, console, binding=True) == 1


@pytest.mark.parametrize("solved", [False, True])
def test_winners_of_simulated_searches_show_too_much(solved):
    """12 searches: what winners show of AUC is above the truth, and the corrected value is nearer to it."""
    errors = expected_value.searched(expected_value.Kind(60, 2, solved, "auc"), 12)
    assert errors.shape == (12, 6)
    assert errors[:, 0].mean() > 0.005 and abs(errors[:, 1].mean()) < errors[:, 0].mean()
