"""The three answers of a page: only what is better beyond noise replaces the default, only what is certain is ruled out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tuner.analysis.dead_ends import dead_ends
from tuner.analysis.symptoms import symptoms_of
from tuner.reporting.answers import BAD, GOOD, UNSURE, Answer, answers
from tuner.results.one_run import WholeRun
from tuner.results.writer import RunTables

DEFAULT = {"learning_rate": 3e-3, "temperature": 0.07}


def searched(folder: Path, trials: list[dict[str, Any]], **row: Any) -> WholeRun:
    """A run over learning rate and temperature with these trials, the first the default one, and this in its row."""
    tables = RunTables(folder, "joint", "joint-1")
    for number, given in enumerate(trials):
        state = {"state": "completed", "best_epoch": 1, "ranked_epoch": 1, "epochs": 1, "threshold": 0.6}
        state["threshold_source"] = "solved" if number else "fixed"
        tables.append_trial(DEFAULT | state | {"trial": number, "is_default": number == 0} | given)
    known = {"state": "finished", "metric": "val_accuracy", "searched": ["learning_rate", "temperature"]}
    tables.write_run(known | {"test_pairs": 400, "test_identities": 200} | row)
    return WholeRun.read(str(folder), "joint-1")


def comparison(winner: int, **differences: tuple[float, float, float]) -> dict[str, Any]:
    """The columns of a comparison: by `test_difference` and `test_difference_solved`, value and interval."""
    measured = {"test_accuracy_winner": 0.9, "test_accuracy_default": 0.8, "test_accuracy_default_solved": 0.85} | {
        name: value for name, (value, _, _) in differences.items()
    }
    ends = {name: (value - 0.05, value + 0.05) for name, value in measured.items()}
    ends |= {name: (low, high) for name, (_, low, high) in differences.items()}
    thresholds = {"threshold_winner": 0.61, "threshold_default": 0.5, "threshold_default_solved": 0.55}
    low, high = (
        {f"{name}_{end}": pair[place] for name, pair in ends.items()} for place, end in enumerate(("low", "high"))
    )
    return {"winner_trial": winner} | measured | low | high | thresholds


def test_a_winner_that_validation_pairs_do_not_prove_is_told_of(tmp_path: Path) -> None:
    """The chosen trial is then the default; what test pairs say decides what to do."""
    for number, (share, chosen) in enumerate([(0.71, 0), (0.97, 1)]):
        found = comparison(1, test_difference=UNCLEAR, test_difference_solved=UNCLEAR)
        found |= {"chosen_trial": chosen, "beats_default_share": share}
        use = asked(searched(tmp_path / str(number), TWO, **found))[0]
        assert use.headline.startswith("Keep the default configuration")
        told = "the winner beats the default 71 times in 100, too few to choose it on them." in use.lines[0]
        assert told is (chosen == 0)


def asked(run: WholeRun) -> tuple[Answer, Answer, Answer]:
    return tuple(answers(run, symptoms_of(run.records)))


BETTER, UNCLEAR, WORSE = (0.1, 0.02, 0.18), (0.05, -0.01, 0.1), (-0.1, -0.15, -0.02)
MOVED = "Only the threshold moved: keep the default configuration, at the threshold {}."
TWO = [{"objective": 0.8}, {"objective": 0.9, "learning_rate": 0.01}]


@pytest.mark.parametrize(
    ("to_default", "to_solved", "headline", "rate", "threshold", "tone"),
    [
        (BETTER, BETTER, "Use the winner, trial 1.", "0.01", "0.61", GOOD),
        (
            BETTER,
            UNCLEAR,
            MOVED.format(0.55),
            "0.003",
            "0.55",
            UNSURE,
        ),
        (UNCLEAR, UNCLEAR, "Keep the default configuration: nothing tried is surely better.", "0.003", "0.55", UNSURE),
        (WORSE, WORSE, "Keep the default configuration.", "0.003", "0.55", BAD),
    ],
    ids=["better", "better by its threshold", "not told apart", "worse"],
)
def test_only_what_is_better_beyond_noise_replaces_the_default(
    tmp_path: Path, to_default: tuple, to_solved: tuple, headline: str, rate: str, threshold: str, tone: str
) -> None:
    """The values to copy are the winner's or the default's, and what speaks for the threshold alone is told as that."""
    run = searched(tmp_path, TWO, **comparison(1, test_difference=to_default, test_difference_solved=to_solved))
    use, sure, _ = asked(run)
    assert (use.headline, use.tone) == (headline, tone)
    assert (use.values["learning_rate"], use.values["threshold"]) == (rate, threshold)
    (_, flags), (_, export) = use.commands.items()
    assert flags == f"--learning-rate {rate} --temperature 0.07 --threshold {threshold}"
    assert f"tuner.export joint-1 {int(tone == GOOD)} " in export, "what is exported is what is advised"
    assert ("beyond noise" in sure.headline) == (tone == GOOD or to_default == UNCLEAR)
    assert "90.0 % (85.0 to 95.0) of 400 test pairs of 200 identities" in sure.lines[0]


def test_a_winner_that_differs_in_the_threshold_only_is_the_default_with_that_threshold(tmp_path: Path) -> None:
    """Its number would suggest that something else was found."""
    run = searched(tmp_path, [{"objective": 0.8}, {"objective": 0.9}], **comparison(1, test_difference=BETTER))
    use, sure, _ = asked(run)
    assert use.headline == MOVED.format(0.61)
    assert "threshold matters" in sure.headline and len(sure.lines) == 3


def test_the_default_that_won_is_told_as_that(tmp_path: Path) -> None:
    """Nothing was better on validation pairs."""
    use, sure, _ = asked(searched(tmp_path, TWO, **comparison(0, test_difference=BETTER)))
    assert "keep the default configuration" in use.headline and use.values["threshold"] == "0.61"
    assert sure.headline.startswith("The default itself won")


def test_a_default_that_fell_sick_is_no_comparison(tmp_path: Path) -> None:
    """The winner stands alone, and that is said."""
    columns = comparison(1)
    missing = {name: None for name in columns if "default" in name}
    use, sure, _ = asked(searched(tmp_path, TWO, **columns | missing))
    assert use.tone == UNSURE and sure.headline == "There is no default to compare it with."


def rates(trials: int = 40) -> list[dict[str, Any]]:
    """Learning rates of 1e-5 to 1e-1 at temperatures at random: 1e-3 and below are no good, the rest is about equal."""
    random = np.random.default_rng(0)
    values = 10 ** np.linspace(-5, -1, trials)
    accuracies = np.where(values < 1e-3, 0.6, 0.9) + random.normal(0, 0.01, trials)
    temperatures = random.permutation(10 ** np.linspace(-2, 0, trials))
    columns = zip(values, temperatures, accuracies, strict=True)
    return [{"learning_rate": rate, "temperature": t, "objective": accuracy} for rate, t, accuracy in columns]


def unwritten(given: list[dict[str, Any]]) -> WholeRun:
    """A run of these trials that is in no file."""
    known = {"state": "completed", "objective": None, "replay_of": pd.NA}
    trials = pd.DataFrame([DEFAULT | known | {"trial": number} | trial for number, trial in enumerate(given)])
    row, names = {"metric": "val_accuracy"}, ("learning_rate", "temperature")
    typed = trials.astype({"replay_of": "Int64", "objective": "float64"})
    return WholeRun("a run", "", row, typed, pd.DataFrame(), {}, names, default=0, leader=0)


def test_an_end_of_a_range_where_all_is_worse_is_a_dead_end() -> None:
    """The learning rates that are no good are told apart from the rest, and no temperature is blamed."""
    (end,) = dead_ends(unwritten(rates()))
    assert (end.parameter, end.is_low, end.trainings) == ("learning_rate", True, 20)
    assert end.edge < 1e-3 and end.best == pytest.approx(0.6, abs=0.05)


def test_noise_has_no_dead_ends() -> None:
    """Of 30 searches without any effect at most two are told one: 5 in 100 are what is promised."""
    told = 0
    for seed in range(30):
        drawn = np.random.default_rng(seed).random((20, 3))
        told += bool(
            dead_ends(unwritten([dict(zip((*DEFAULT, "objective"), values, strict=True)) for values in drawn]))
        )
    assert told <= 2


def test_sick_and_failed_trials_are_the_worst() -> None:
    """A learning rate at which everything ended is a dead end, although nothing there has an accuracy."""
    given = rates()
    for trial in given[-12:]:
        trial |= {"state": "sick", "objective": None}
    ends = {end.is_low: end for end in dead_ends(unwritten(given)) if end.parameter == "learning_rate"}
    assert ends[False].trainings >= 12 and ends[False].best is None


def test_a_single_sick_trial_rules_nothing_out(tmp_path: Path) -> None:
    """It is told with all its values: one trial does not say which of them it was."""
    sick = {
        "state": "sick",
        "learning_rate": 0.1,
        "objective": None,
        "error": "diverging: loss",
        "diagnoses": ["diverging"],
    }
    avoid = asked(searched(tmp_path, [*TWO, sick], **comparison(1, test_difference=BETTER)))[2]
    assert avoid.headline == "Nothing but single trials was ruled out."
    assert avoid.lines == ["Trial 2 (learning_rate 0.1, temperature 0.07): ended by diverging."]


def test_where_all_is_well_nothing_is_ruled_out(tmp_path: Path) -> None:
    """No range is named without a reason."""
    avoid = asked(searched(tmp_path, TWO, **comparison(1, test_difference=BETTER)))[2]
    assert avoid.headline == "Nothing was ruled out."
