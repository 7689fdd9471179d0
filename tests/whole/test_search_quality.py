"""The measure of a search's quality: pairs that nobody saw stay unseen, replays are what a search would do, figures add up."""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from benchmarks import quality_figures as figures
from benchmarks import search_quality
from benchmarks.quality_adapter import System, SystemSettings, Winner
from benchmarks.quality_peers import Peer, Task, optuna_peers, remote_peers
from benchmarks.quality_problems import QUICK
from benchmarks.quality_replay import DONE, WAIT, Asked, epochs_until, replay
from benchmarks.quality_speed import Kept, Race
from benchmarks.quality_tables import Epoch, Table, ValidationSet, auc
from benchmarks.quality_training import Trainer, configurations, fill, rounds, trial_file
from trainable.errors import InputError
from trainable.metrics import thresholds, verification

CONFIGURATIONS, SEEDS = 8, 2


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache in which the quick problem is made."""
    folder = tmp_path_factory.mktemp("cache")
    fill(QUICK, folder, Path(), CONFIGURATIONS, SEEDS)
    return folder


@pytest.fixture(scope="module")
def table(cache):
    """The quick problem's table."""
    return Table(QUICK, cache)


class Listed:
    """Proposes tabulated configurations in order; stops a trial after so many epochs, if that is said of it."""

    def __init__(self, table, numbers, stops=()):
        self.left = [(n, table.configurations[n]) for n in numbers]
        self.stops, self.heard = dict(stops), []

    def ask(self):
        if not self.left:
            return DONE
        number, values = self.left.pop(0)
        return Asked(str(number), values)

    def report(self, trial_id, measured):
        self.heard.append((trial_id, measured.epoch, measured.auc))
        return measured.epoch < self.stops.get(trial_id, 99)


# ------------------------------------------------------------------------------------------------------------- tables


def test_any_beginning_of_the_configurations_is_the_same():
    """A table that is half made holds what the whole one begins with; the default is first."""
    for blocks in (0, 3):
        problem = dataclasses.replace(QUICK, blocks=blocks)
        many, few = configurations(problem, 21), configurations(problem, 5)
        assert len(many) == 22 and many[:6] == few
        assert few[0]["learning_rate"] == 3e-3 and few[0]["trainable_blocks"] == blocks
        assert {values["trainable_blocks"] for values in many} <= set(range(blocks + 1))


def test_all_problems_get_few_configurations_before_any_gets_many():
    """Doubled until the last."""
    assert rounds(64, 256) == [64, 128, 256] and rounds(64, 100) == [64, 100] and rounds(64, 10) == [10]


def test_negative_pairs_stay_within_their_cell(cache):
    """So that any cells of the pool are a validation set without an identity in common with the rest."""
    pairs = pd.read_csv(QUICK.folder(cache) / "pairs.csv")
    shown = pd.concat([pairs[["front_identity", "cell"]].set_axis(["identity", "cell"], axis=1),
                       pairs[["angle_identity", "cell"]].set_axis(["identity", "cell"], axis=1)])  # fmt: skip
    assert (shown.groupby("identity").cell.nunique() == 1).all()
    assert set(pairs.groupby("cell").pair_label.mean()) == {0.5}
    assert ((pairs.front_identity == pairs.angle_identity) == (pairs.pair_label == 1)).all()
    assert ((pairs.cell == -1) == (pairs.split == "train")).all()


def test_the_scores_of_a_table_are_those_of_a_training(cache, table):
    """Made again, they are the same to the bit, validation pairs first."""
    path = trial_file(QUICK, cache, 3, 1)
    before = pd.read_parquet(path)
    path.rename(path.with_suffix(".away"))
    Trainer(QUICK, cache, Path()).train(3, configurations(QUICK, CONFIGURATIONS)[3], 1)
    again = pd.read_parquet(path)
    path.with_suffix(".away").unlink()
    assert len(again) == len(before) == table.last_epoch(3, 1)
    for epoch, (one, other) in enumerate(zip(before.scores, again.scores, strict=True), start=1):
        assert np.array_equal(one, other) and np.array_equal(one, table.scores(Epoch(3, 1, epoch)))


def test_what_was_trained_is_not_trained_again(cache):
    """A run that was interrupted goes on."""
    files = sorted((QUICK.folder(cache) / "trials").iterdir())
    times = [file.stat().st_mtime_ns for file in files]
    fill(QUICK, cache, Path(), CONFIGURATIONS, SEEDS)
    assert len(files) == (CONFIGURATIONS + 1) * SEEDS and times == [file.stat().st_mtime_ns for file in files]


def test_a_table_ends_where_a_training_is_missing(cache, tmp_path):
    """Configurations after a gap are left out, and with nothing there it says what to run."""
    with pytest.raises(InputError, match="quality_training"):
        Table(QUICK, tmp_path)
    path = trial_file(QUICK, cache, 5, 0)
    path.rename(path.with_suffix(".away"))
    try:
        assert len(Table(QUICK, cache).configurations) == 5
    finally:
        path.with_suffix(".away").rename(path)
    assert len(Table(QUICK, cache, limit=2).configurations) == 3


def test_a_configuration_is_nearest_to_itself(table):
    """And what lies between is nearest to what an exhaustive search over the logarithms says."""
    assert [table.nearest(values) for values in table.configurations] == list(range(CONFIGURATIONS + 1))
    draw = np.random.default_rng(0)
    for _ in range(20):
        asked = {"learning_rate": 10 ** draw.uniform(-5, -1), "temperature": 10 ** draw.uniform(-2, 0)}
        gaps = [
            (math.log10(asked["learning_rate"] / v["learning_rate"]) / 4) ** 2
            + (math.log10(asked["temperature"] / v["temperature"]) / 2) ** 2
            for v in table.configurations
        ]
        assert table.nearest(asked) == int(np.argmin(gaps))


@given(arrays.arrays(np.float32, 12, elements=st.integers(-3, 3)), st.integers(1, 11))
def test_the_auc_by_ranks_is_that_of_the_roc_curve(scores, positives):
    """Ties included."""
    labels = (np.arange(12) < positives).astype(int)
    assert auc(scores, labels) == pytest.approx(verification.verify(scores, labels).auc)


# ---------------------------------------------------------------------------------------------------- validation sets


def test_validation_and_unseen_pairs_share_no_identity(table):
    """Together they are the pool, and the set is as large as was asked for."""
    for number in range(4):
        found = ValidationSet(table, 40, number)
        assert sorted([*found.rows, *found.unseen]) == list(range(len(table.labels)))
        seen, unseen = (
            {*table.front_identity[rows], *table.angle_identity[rows]} for rows in (found.rows, found.unseen)
        )
        assert not seen & unseen and len(seen) == 40


def test_the_halves_of_the_unseen_pairs_share_no_identity(table):
    """And are all of them."""
    found = ValidationSet(table, 40, 1)
    assert sorted(np.concatenate(found.halves)) == sorted(found.unseen)
    first, second = ({*table.front_identity[rows], *table.angle_identity[rows]} for rows in found.halves)
    assert len(first) == len(second) == 20 and not first & second


def test_what_is_said_of_an_epoch_is_what_verification_says(table):
    """The threshold is solved on validation pairs; unseen accuracy is at that one."""
    found, at = ValidationSet(table, 40, 0), Epoch(0, 0, table.last_epoch(0, 0))
    scores, labels = table.scores(at), table.labels
    threshold = thresholds.best_threshold(scores[found.rows], labels[found.rows]).value
    assert found.threshold(at) == threshold
    assert found.unseen_accuracy(at) == thresholds.accuracy_at(scores[found.unseen], labels[found.unseen], threshold)
    assert found.auc(at) == pytest.approx(verification.verify(scores[found.rows], labels[found.rows]).auc)


def test_what_validation_pairs_are_easier_by_is_nothing_on_average(table):
    """Over every cell as the validation set exactly, in accuracy: what is subtracted from a promise moves no mean."""
    by_cell = {}
    for number in range(30):
        found = ValidationSet(table, 20, number)
        by_cell[int(table.cells[found.rows[0]])] = found.easier[0]
    assert len(by_cell) == len(np.unique(table.cells)) == 4
    assert np.mean(list(by_cell.values())) == pytest.approx(0, abs=1e-12) and np.std(list(by_cell.values())) > 0


# ------------------------------------------------------------------------------------------------------------- replay


def test_one_worker_trains_one_trial_after_the_other(table):
    """Every epoch of it is heard of, with the AUC of the table."""
    validation, method = ValidationSet(table, 40, 0), Listed(table, [2, 0], {"2": 1})
    search = replay(method, table, validation, 0, workers=1)
    two, zero = (search.trials[name].seed for name in ("2", "0"))
    expected = [Epoch(2, two, 1), *(Epoch(0, zero, e) for e in range(1, table.last_epoch(0, zero) + 1))]
    assert search.trace == expected
    assert [(name, epoch) for name, epoch, _ in method.heard] == [(str(at.configuration), at.epoch) for at in expected]
    told = [math.nan if table.sick(at) else validation.auc(at) for at in expected]
    assert [value for *_, value in method.heard] == pytest.approx(told, nan_ok=True)
    assert search.trials["2"].ended == "pruned"


def test_two_workers_train_side_by_side(table):
    """Their epochs alternate, and a free worker gets the next trial at once."""
    healthy = [
        c for c in range(CONFIGURATIONS + 1) if all(table.last_epoch(c, s) == QUICK.epochs for s in range(SEEDS))
    ]
    first, second, third = healthy[:3]
    method = Listed(table, [first, second, third], {str(first): 1})
    search = replay(method, table, ValidationSet(table, 40, 0), 0, workers=2)
    order = [(at.configuration, at.epoch) for at in search.trace]
    assert order[:2] == [(first, 1), (second, 1)] and order[-1] == (third, 3)
    assert set(order[2:4]) == {(second, 2), (third, 1)} and set(order[4:6]) == {(second, 3), (third, 2)}


def test_a_trial_that_goes_on_with_another_trains_only_what_is_new(table):
    """As a promoted one does: the same training, from where it stopped."""
    healthy = next(c for c in range(1, 9) if all(table.last_epoch(c, s) == QUICK.epochs for s in range(SEEDS)))
    values = table.configurations[healthy]

    class Promoting:
        def __init__(self):
            self.asked = [Asked("a", values, stop=1), Asked("b", values, stop=3, after="a")]

        def ask(self):
            return self.asked.pop(0) if self.asked else DONE

        def report(self, trial_id, measured):
            return True

    search = replay(Promoting(), table, ValidationSet(table, 40, 0), 0, workers=1)
    assert [at.epoch for at in search.trace] == [1, 2, 3] and {at.configuration for at in search.trace} == {healthy}


def test_a_search_ends_at_its_goal_or_its_budget(table):
    """Whichever is first; what was not reached is infinite."""
    validation = ValidationSet(table, 40, 0)
    assert len(replay(Listed(table, range(9)), table, validation, 0, max_epochs=4).trace) == 4
    search = replay(Listed(table, range(9)), table, validation, 0, until=lambda at: at.epoch == 2)
    assert search.trace[-1].epoch == 2
    everything = replay(Listed(table, range(9)), table, validation, 0, workers=1)
    first = next(i for i, at in enumerate(everything.trace) if table.pool_auc[at] >= 0.9 * table.best_known_auc)
    assert epochs_until(everything, table, 0.9) == first + 1
    assert epochs_until(everything, table, 10.0) == math.inf


# ------------------------------------------------------------------------------------------------ the product's search


@pytest.mark.parametrize(("sampler", "scheduler"), [("tpe", "asha"), ("random", "none")])
def test_the_products_search_runs_as_it_would_on_ray(table, sampler, scheduler):
    """So many trials, the default first and to its end; the winner is one of them, with the value to expect of it."""
    validation = ValidationSet(table, 40, 1)
    system = System(SystemSettings(sampler=sampler, scheduler=scheduler), Task.of(table, 1), 6, 2)
    search = replay(system, table, validation, 1)
    trials = list(search.trials.values())
    assert len(trials) == 6 and trials[0].configuration == 0
    assert trials[0].epoch == table.last_epoch(0, trials[0].seed)
    if scheduler == "none":
        assert all(t.ended in ("completed", "sick") for t in trials)
    winner = system.winner(search, validation)
    at = search.trials[winner.trial].at(winner.epoch)
    best = max(validation.auc(t.at()) for t in trials if t.ended != "sick")
    if winner.trial == next(iter(search.trials)):  # the default, which nobody chose: its own values
        assert winner.accuracy == validation.accuracy(at) and winner.auc == validation.auc(at) <= best
    else:
        assert validation.auc(at) == best and 0 < winner.accuracy < 1 and winner.auc < best + 0.02


def test_other_runs_best_configurations_come_after_the_default(table):
    """A quarter of the trials at most, as with --start-from."""
    known = [table.configurations[number] for number in (4, 5, 6)]
    system = System(SystemSettings(), Task.of(table, 1), 8, 1, known)
    search = replay(system, table, ValidationSet(table, 40, 1), 1, workers=1)
    assert [trial.configuration for trial in search.trials.values()][:3] == [0, 4, 5] and len(search.trials) == 8
    assert search.trials["00003"].configuration != 6


def test_every_plain_optuna_peer_starts_with_the_default(table):
    """And trains until the budget is spent."""
    validation = ValidationSet(table, 40, 0)
    for peer in optuna_peers():
        search = replay(peer.begin(Task.of(table, 0)), table, validation, 0, max_epochs=12)
        assert next(iter(search.trials.values())).configuration == 0 and len(search.trace) == 12


def test_peers_that_are_not_installed_are_named(tmp_path):
    """One without an environment, and one whose environment lacks it."""
    (tmp_path / "ax" / "bin").mkdir(parents=True)
    (tmp_path / "ax" / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    peers, missing, processes = remote_peers(tmp_path, tmp_path)
    for process in processes:
        process.close()
    assert peers == [] and {"Ax", "NePS PriorBand", "Syne Tune MOBSTER"} <= set(missing)


def test_what_a_peer_came_to_is_kept_until_its_version_changes(table, tmp_path):
    """Run once, read afterwards, run again when something it depends on is another."""
    begun = []

    def begin(task):
        begun.append(task.seed)
        return Listed(table, range(9))

    race = Race(table, [ValidationSet(table, 40, r) for r in range(2)], workers=2, max_epochs=20)
    kept = [Kept(race, tmp_path).epochs(Peer("listed", version, begin), 1) for version in ("1", "1", "2")]
    assert begun == [1, 1] and kept[0] == kept[1] == kept[2] <= 20


# ------------------------------------------------------------------------------------------------------------ figures


def test_figures_are_what_they_say(table):
    """The truly best loses nothing and nothing beats it at its last epoch; differences are those of the models' accuracies."""
    validation = ValidationSet(table, 40, 2)
    search = replay(Listed(table, [0, *range(1, 9)]), table, validation, 2)
    name, trial = next((n, t) for n, t in search.trials.items() if t.ended == "completed" and n != "0")
    rows = pd.DataFrame(figures.judged(search, validation, Winner(name, 1, 0.9, 0.8))).set_index("rule")
    own, best = rows.loc[figures.SYSTEM], rows.loc[figures.BEST]
    at, default = trial.at(1), search.trials["0"].at()
    assert best.lost == 0 and (rows.drop(figures.SYSTEM).lost >= 0).all()
    assert own.accuracy == validation.unseen_accuracy(at) and own.lost == best.accuracy - own.accuracy
    assert (rows.lost_at_least <= rows.lost + 1e-12).all()
    assert own.over_accuracy == pytest.approx(0.9 - own.accuracy - validation.easier[0])
    assert own.over_auc == pytest.approx(0.8 - validation.unseen_auc(at) - validation.easier[1])
    assert own.worse == (own.accuracy < validation.unseen_accuracy(default))
    completed = [t for t in search.trials.values() if t.ended == "completed"]
    by_auc = max(completed, key=lambda t: validation.auc(t.at()))
    assert rows.loc["AUC at the last epoch"].accuracy == validation.unseen_accuracy(by_auc.at())


def test_every_problem_counts_the_same():
    """However many searches it has."""
    rows = pd.DataFrame({"rule": "r", "problem": ["a", "a", "a", "b"], "lost": [0.0, 0.0, 0.0, 1.0]})
    assert figures.over_problems(rows, "r", "lost") == 0.5


def test_a_peer_is_compared_on_the_repetitions_that_both_have():
    """The ratio is that to the peer that comes out best, of means over problems of medians; too few decide nothing."""
    speeds = {
        search_quality.PRODUCT: {"a": [10.0] * 10 + [90.0] * 10, "b": [30.0] * 10 + [90.0] * 10},
        f"{search_quality.PRODUCT}, qmc": {"a": [1.0], "b": [1.0]},
        "fewer": {"a": [20.0] * 10, "b": [30.0] * 10},
        "slow": {"a": [500.0] * 20, "b": [500.0] * 20},
        "too few": {"a": [1.0] * 9, "b": [1.0] * 9},
    }
    assert search_quality.over_best_peer(speeds, search_quality.PRODUCT) == pytest.approx(20 / 25)
    assert math.isnan(search_quality.over_best_peer(speeds, search_quality.STARTED))
    del speeds["fewer"], speeds["slow"]
    assert math.isnan(search_quality.over_best_peer(speeds, search_quality.PRODUCT))


# ------------------------------------------------------------------------------------------------------------ command


def test_the_command_judges_nothing_of_a_quick_run(cache, capsys):
    """It prints every figure beside its target and exits 0; peers without an environment are named."""
    assert search_quality.main(["--quick", "--cache", str(cache)]) == 0
    printed = capsys.readouterr().out
    assert "not asked of a smoke run" in printed and "peers not installed: Ax" in printed and "MISSED" not in printed


def test_below_target_the_exit_code_is_1(table):
    """A missing figure is below target."""
    rows = pd.DataFrame({"rule": [figures.SYSTEM], "problem": "a", "lost": 0.1, "over_accuracy": 0.0, "over_auc": 0.0})
    found = search_quality.targets(rows.assign(worse=0.0), {search_quality.PRODUCT: {"a": [1.0]}}, judge=True)
    assert [target.met for target in found] == [False, True, True, True, False, False]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--problems", "nothing"], "valid are: turntable_head"),
        (["--repetitions", "0"], "--repetitions is 0"),
        ([], "has no tables"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, capsys, arguments, said):
    """With exit code 2 and a message that says what is valid."""
    assert search_quality.main([*arguments, "--cache", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err


def test_waiting_for_a_running_trial_starts_nothing(table):
    """A method that waits is asked again when a trial has ended."""

    class Waiting(Listed):
        running = False

        def ask(self):
            if self.running:
                return WAIT
            self.running = bool(self.left)
            return super().ask()

        def report(self, trial_id, measured):
            self.running = not (measured.finished or measured.sick)
            return True

    search = replay(Waiting(table, [1, 2]), table, ValidationSet(table, 40, 0), 0, workers=2)
    assert list(search.trials) == ["1", "2"]
    assert [at.configuration for at in search.trace] == sorted(at.configuration for at in search.trace)
