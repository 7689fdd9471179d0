"""A start that knows something: what earlier runs offer to a search, and what a search makes of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.tools.by_hand import Search as SearchByHand
from tests.tools.by_hand import space_of
from trainable.config import TrialConfig
from trainable.errors import InputError
from tuner.analysis.starting_points import Search, StartingPoint, starting_points
from tuner.results.writer import RunTables

RATE = 'return {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)}'
ASKED = Search("joint", ("learning_rate", "temperature"), "resnet18", "data a")


def write(root, name, trials, **row):
    """A finished run of trials (state, objective, temperature); of a val_auc that is high where nothing else is said."""
    tables = RunTables(root, row.pop("space", "temperature"), name)
    known = {"state": "finished", "backbone": "resnet18", "metric": "val_auc", "searched": ["temperature"]}
    known |= {"data_fingerprint": "data b", "started_at": datetime(2026, 1, 1, tzinfo=UTC)}
    tables.write_run(known | row)
    for number, (state, objective, temperature) in enumerate(trials):
        cells = {"state": state, "objective": objective, "temperature": temperature, "threshold_source": "solved"}
        tables.append_trial({"trial": number, "threshold": 0.7, "learning_rate": 0.02, "max_epochs": 9} | cells)


def origins(points):
    return [point.origin for point in points]


def test_the_best_of_every_run_comes_before_the_second_of_any(tmp_path):
    """Completed trials before stopped ones, then by the objective; what failed or fell sick is not offered."""
    rows = [("completed", 0.7, 0.1), ("completed", 0.9, 0.2), ("pruned", 0.95, 0.3), ("failed", None, 0.4)]
    write(tmp_path, "one", [*rows, ("sick", 0.99, 0.5)])
    write(tmp_path, "two", [("completed", 0.1, 0.6), ("completed", 0.2, 0.7)], metric="val_eer")
    points = starting_points(str(tmp_path), ["one", "two"], ASKED)
    assert origins(points) == ["one/1", "two/0", "one/0", "two/1", "one/2"]
    assert points[0].config == TrialConfig(learning_rate=0.02, temperature=0.2), "its solved threshold is not its own"


def test_auto_takes_comparable_runs_the_nearest_first(tmp_path):
    """The same backbone and a parameter in common; same data, then same space, then the newest. Without any, nothing."""
    assert starting_points(str(tmp_path / "none yet"), ["auto"], ASKED) == []
    trial = [("completed", 0.9, 0.2)]
    write(tmp_path, "other backbone", trial, backbone="vit")
    write(tmp_path, "other question", trial, searched=["trainable_blocks"])
    write(tmp_path, "old", trial)
    write(tmp_path, "new", trial, started_at=datetime(2026, 5, 1, tzinfo=UTC))
    write(tmp_path, "same space", trial, space="joint")
    write(tmp_path, "same data", trial, data_fingerprint="data a")
    found = origins(starting_points(str(tmp_path), ["auto"], ASKED))
    assert found == ["same data/0", "same space/0", "new/0", "old/0"]


@pytest.mark.parametrize(
    ("asked", "said"), [(["gone"], "no such run"), (["auto", "one"], "auto alone"), (["one"], "ranked")]
)
def test_a_run_that_offers_nothing_is_refused(tmp_path, asked, said):
    """One that is not there, or in which nothing was ranked; the message names those that are."""
    write(tmp_path, "one", [("failed", None, 0.1)])
    with pytest.raises(InputError, match=said):
        starting_points(str(tmp_path), asked, ASKED)


def offered(*rates, **more):
    return [StartingPoint(TrialConfig(learning_rate=rate, **more), f"run/{n}") for n, rate in enumerate(rates)]


def test_a_search_tries_what_it_is_given_first(tmp_path):
    """After the default: each once, marked in the row, at most a quarter of the trials, and only what the space can hold."""
    points = offered(0.02, 0.02, 0.5, 3e-3, 0.03, 0.04, 0.05, temperature=0.3)
    run = SearchByHand(tmp_path, space_of(tmp_path, RATE), trials=16, start_from=points)
    trials = [run.run(run.start(), 0.5, 0.6, 0.7) for _ in range(7)]
    rates = [trial.config["config"].learning_rate for trial in trials]
    assert rates[:5] == [TrialConfig().learning_rate, 0.02, 3e-3, 0.03, 0.04]
    assert not {0.05, 0.5} & {*rates}
    assert {trial.config["config"].temperature for trial in trials} == {0.07}, (
        "what the space does not vary is the run's"
    )
    rows = sorted(run.tables.trial_rows(), key=lambda row: row["trial"])
    assert [row["started_from"] for row in rows] == [None, "run/0", "run/3", "run/4", "run/5", None, None]
    assert run.frozen(1).params == {"learning_rate": 0.02} and run.frozen(1).value == 0.7


def test_a_resumed_search_goes_on_with_what_it_was_given(tmp_path):
    """Whatever other runs offer by then: the study remembers, and tries none twice."""
    space = space_of(tmp_path, RATE)
    first = SearchByHand(tmp_path, space, trials=16, start_from=offered(0.02, 0.03, 0.04))
    for _ in range(2):
        first.run(first.start(), 0.5, 0.6, 0.7)
    second = SearchByHand(tmp_path, space, trials=16, attempt=2, start_from=offered(0.06))
    rates = [second.run(second.start(), 0.5, 0.6, 0.7).config["config"].learning_rate for _ in range(4)]
    assert rates[:2] == [0.03, 0.04] and not {0.02, 0.06} & {*rates}


def test_what_the_other_run_did_not_say_is_suggested(tmp_path):
    """Of two parameters the space can hold one as it was; the sampler draws the other."""
    body = (
        'return {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),'
        ' "temperature": trial.suggest_float("temperature", 0.05, 0.2)}'
    )
    run = SearchByHand(tmp_path, space_of(tmp_path, body), trials=4, start_from=offered(0.02, temperature=0.9))
    run.start()
    config = run.start().config["config"]
    assert config.learning_rate == 0.02 and 0.05 <= config.temperature <= 0.2
