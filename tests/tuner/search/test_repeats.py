"""Repeats: the leading trials and the default, trained again with common seeds."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.trial import TrialState

from tests.tools.by_hand import DATA, FIXED, Search, Trial, space_of
from trainable.trial import Carried
from tuner.analysis.choice import ValidationPairs
from tuner.results.trial_record import TrialRecord, best_of
from tuner.search.repeats import MOST_LEADING, Repeats, RepeatSearch, repeated, seed_of

pytestmark = pytest.mark.usefixtures("quiet_optuna", "one_thread")

RATE = 'return {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)}'
PAIRS = ValidationPairs.of(DATA)
LABELS = PAIRS.labels


def carried(gap: float, seed: int) -> Carried:
    """Scores whose classes lie so far apart."""
    scores = (LABELS * gap + np.random.default_rng(seed).normal(size=len(LABELS))).astype(np.float32)
    return Carried(arrays={"scores": scores, "correct": scores > gap / 2})


def search(tmp_path, gaps: list[float], attempt: int = 1) -> Search:
    """A search whose trials came to that."""
    run = Search(tmp_path, space_of(tmp_path, RATE), metric="val_auc", trials=len(gaps), attempt=attempt)
    for gap in gaps if attempt == 1 else []:
        train(run, run.start(), gap)
    return run


def train(run: Search, trial: Trial, gap: float) -> None:
    for _ in range(FIXED.epochs):
        objective = 0.5 + gap / 10 + 0.001 * trial.last_result.get("epoch", 0)
        run.report(trial, objective, carried=carried(gap, trial.config["number"]))


def repeating(run: Search, count: int) -> Repeats:
    """From here on the repeats are handed out."""
    repeats = Repeats(run.recorder.records, PAIRS, "val_auc", count, run_seed=0)
    run.searcher = RepeatSearch(repeats, run.searcher.study, run.recorder, "val_auc", lambda number: None)
    return repeats


def drain(run: Search, gap_of: dict[int, float]) -> list[TrialRecord]:
    while (trial := run.start()) is not None:
        train(run, trial, gap_of[run.recorder.records[trial.config["number"]].repeat_of])
    assert run.answer == "FINISHED"
    return [record for record in run.recorder.records.values() if record.repeat_of is not None]


def test_leading_trials_and_the_default_are_trained_with_the_same_seeds(tmp_path) -> None:
    """Their own configurations otherwise; rows say what they repeat; the sampler is told nothing."""
    run = search(tmp_path, [0.2, 2.0, 2.2])
    study = run.searcher.study
    repeats = repeating(run, 2)
    made = drain(run, {0: 0.2, 1: 2.0, 2: 2.2})
    assert {trial.number for trial in repeats.candidates} == {0, 1, 2}
    assert sorted((r.repeat_of, r.config.seed) for r in made) == sorted(
        (n, seed_of(0, k)) for n in range(3) for k in (1, 2)
    )
    assert all(record.config == repeated(run.recorder.records[record.repeat_of], record.config.seed) for record in made)
    rows = {row["trial"]: row["repeat_of"] for row in run.tables.trial_rows()}
    assert rows == {0: None, 1: None, 2: None} | {record.number: record.repeat_of for record in made}
    states = {t.user_attrs["number"]: t.state for t in study.optuna.get_trials()}
    assert all(states[record.number] == TrialState.FAIL for record in made)


def test_the_mean_over_seeds_decides_and_no_repeat_wins(tmp_path) -> None:
    """Even where a repeat has the best value of all."""
    run = search(tmp_path, [0.2, 2.0, 2.2])
    repeats = repeating(run, 2)
    drain(run, {0: 0.2, 1: 2.6, 2: 1.9})
    assert repeats.winner().number == 1
    assert best_of(list(run.recorder.records.values()), "val_auc").number == 2
    assert repeats.beats_default(repeats.winner()) > 0.9


def test_what_is_surely_behind_is_not_trained_on(tmp_path) -> None:
    """After two rounds, which tell what seeds change; the default is in every round."""
    run = search(tmp_path, [0.2, 2.0, 2.2])
    repeating(run, 4)
    made = drain(run, {0: 0.2, 1: 0.1, 2: 6.0})
    count = {number: sum(record.repeat_of == number for record in made) for number in range(3)}
    assert count == {0: 4, 1: 2, 2: 4}


def test_only_four_lead(tmp_path) -> None:
    """And the default, which is behind them all."""
    run = search(tmp_path, [0.1, *[2.0] * 7])
    assert len(repeating(run, 2).candidates) == MOST_LEADING + 1


def test_nothing_is_repeated_where_the_default_alone_leads(tmp_path) -> None:
    """There is nothing to choose from."""
    run = search(tmp_path, [6.0, -6.0])
    assert repeating(run, 2).candidates == []
    assert run.start() is None and run.answer == "FINISHED"


def test_a_resumed_run_goes_on_with_its_repeats(tmp_path) -> None:
    """What had ended is not trained again, what had begun keeps its number; and they count as none of the trials asked for."""
    first = search(tmp_path, [0.2, 2.0])
    repeating(first, 2)
    train(first, first.start(), 2.0)
    begun = first.start()
    second = Search(tmp_path, space_of(tmp_path, RATE), metric="val_auc", trials=3, attempt=2)
    second.take_up()
    train(second, second.start(), 1.9)  # the third trial that is asked for now
    assert second.start() is None and second.answer == "FINISHED"
    repeating(second, 2)
    made = drain(second, {0: 0.2, 1: 2.0, 4: 1.9})
    assert begun.config["number"] in {record.number for record in made}
    assert len({(record.repeat_of, record.config.seed) for record in made}) == len(made) == 6
