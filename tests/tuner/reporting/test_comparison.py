"""Runs side by side: no rank that noise could reverse without a word, and none across data; text, JSON, CSV and Parquet."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from benchmarks.made_results import make
from trainable.metrics.verification import verify
from tuner import compare, results
from tuner.analysis.leaderboard import RUN_COLUMNS, TRIAL_COLUMNS, Comparison, with_rates
from tuner.analysis.leaderboard import compare as compared
from tuner.cli.compare_options import TABLES
from tuner.reporting.comparison import print_comparison
from tuner.results.writer import RunTables

INTERVAL = 0.02


def write(root: Path, run: str, objectives: list[float], space: str = "temperature", **row) -> None:
    """A run whose trials have these objectives, each ± INTERVAL whether accuracy or AUC, at temperatures of 0.1, 0.2, …"""
    tables = RunTables(root, space, run)
    known = {
        "data": "pairs.csv",
        "data_fingerprint": "f1",
        "metric": "val_accuracy",
        "backbone": "b",
        "weights": "none",
    }
    known |= {"image_size_px": 64, "views": 1, "hostname": "laptop", "device": "cpu", "searched": ["temperature"]}
    tables.write_run({"state": "finished"} | known | row)
    for number, objective in enumerate(objectives):
        accuracy = {"val_accuracy": objective, "objective": objective}
        accuracy |= {"val_accuracy_low": objective - INTERVAL, "val_accuracy_high": objective + INTERVAL}
        accuracy |= {"val_auc": objective, "val_auc_low": objective - INTERVAL, "val_auc_high": objective + INTERVAL}
        fixed = {
            "learning_rate": 1e-3,
            "threshold": 0.5,
            "threshold_source": "solved",
            "trainable_blocks": 2,
            "max_epochs": 4,
        }
        cost = {"train_s": 10.0 * (number + 1), "temperature": (number + 1) / 10, "backbone_lr_ratio": 1.0}
        tables.append_trial(
            {"trial": number, "state": "completed", "is_default": number == 0} | accuracy | fixed | cost
        )


def read(root: Path) -> Comparison:
    return compared(results.runs(root), results.trials(root))


def places(comparison: Comparison) -> dict[str, tuple[int, int]]:
    return {row.run: (row.rank_low, row.rank_high) for row in comparison.leaderboard.itertuples()}


# Who leads


@pytest.mark.parametrize("metric", ["val_accuracy", "val_auc"])
def test_a_run_is_ranked_as_surely_as_its_interval_allows(tmp_path: Path, metric: str) -> None:
    """Two that are 0.02 ± 0.02 apart may change places; a third, 0.1 behind, may not."""
    for run, best in (("r1", 0.90), ("r2", 0.80), ("r3", 0.88)):
        write(tmp_path, run, [0.5, best], metric=metric)
    comparison = read(tmp_path)
    assert places(comparison) == {"r1": (1, 2), "r3": (1, 2), "r2": (3, 3)}
    assert list(comparison.leaderboard.run) == ["r1", "r3", "r2"]
    first = comparison.leaderboard.iloc[0]
    assert (first.trial, first.configuration) == (1, "temperature 0.2, threshold 0.500 solved")
    assert first.objective_low == pytest.approx(0.88) and first.objective_high == pytest.approx(0.92)


def test_runs_on_different_data_are_not_ranked_against_each_other(tmp_path: Path) -> None:
    """Nor are those ranked by another metric: each group has its own first place."""
    write(tmp_path, "r1", [0.9])
    write(tmp_path, "r2", [0.5], data_fingerprint="f2")
    write(tmp_path, "r3", [0.1], metric="val_eer")
    write(tmp_path, "r4", [0.2], metric="val_eer")
    comparison = read(tmp_path)
    assert [set(part.leaderboard.run) for _, part in comparison.groups()] == [{"r1"}, {"r3", "r4"}, {"r2"}]
    assert list(comparison.leaderboard.run) == ["r1", "r3", "r4", "r2"], "a lower error rate is better"
    assert places(comparison)["r3"] == (1, 2), "no interval is kept of an error rate: either may be the better one"


def test_the_same_pairs_are_the_same_wherever_they_lie(tmp_path: Path) -> None:
    """Two machines have them in different folders; what is not known to be the same is not compared."""
    write(tmp_path, "r1", [0.9])
    write(tmp_path, "r2", [0.8], data="/elsewhere/pairs.csv")
    write(tmp_path, "r3", [0.7], data_fingerprint=None)
    write(tmp_path, "r4", [0.6], data_fingerprint=None)
    groups = [(names["data"], set(part.leaderboard.run)) for names, part in read(tmp_path).groups()]
    assert groups == [("pairs.csv", {"r1", "r2"}), ("pairs.csv", {"r3"}), ("pairs.csv", {"r4"})]


def test_a_run_that_nothing_can_win_is_listed_without_a_place(tmp_path: Path) -> None:
    """One that has only just begun, and one whose trials all fell sick."""
    write(tmp_path, "r1", [0.9])
    write(tmp_path, "r2", [], state="running")
    RunTables(tmp_path, "temperature", "r3").append_trial({"trial": 0, "state": "sick", "objective": 0.99})
    write(tmp_path, "r3", [])
    board = read(tmp_path).leaderboard.set_index("run")
    assert list(board.index) == ["r1", "r2", "r3"] and pd.isna(board.rank_low["r2"]) and pd.isna(board.rank_low["r3"])
    assert (board.trials["r3"], board.sick["r3"], board.rank_high["r1"]) == (1, 1, 1)


def test_trials_are_counted_as_they_were_asked_for(tmp_path: Path) -> None:
    """One more that the run tries at the threshold that a training's own scores favour is none of them."""
    write(tmp_path, "r1", [0.8, 0.9])
    more = {"trial": 2, "state": "completed", "objective": 0.91, "threshold_source": "favoured"}
    RunTables(tmp_path, "temperature", "r1").append_trial(more)
    assert list(read(tmp_path).leaderboard.trials) == [2]


def test_runs_without_any_trial_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to say of them, and that is said."""
    write(tmp_path, "r1", [], state="running", searched=None, hostname=None, data_fingerprint=None)
    code, out, _ = run(capsys, "--results", str(tmp_path))
    assert code == 0 and "No trial of these runs can win." in out and "0 trials, running" in out


def test_the_interval_of_a_winner_that_ranks_at_a_solved_threshold_is_moved_there(tmp_path: Path) -> None:
    """The default's accuracy at its own threshold says how wide, its objective where."""
    write(tmp_path, "r1", [])
    row = {"trial": 0, "state": "completed", "objective": 0.9, "val_accuracy": 0.8, "threshold_source": "fixed"}
    RunTables(tmp_path, "temperature", "r1").append_trial(row | {"val_accuracy_low": 0.77, "val_accuracy_high": 0.82})
    board = read(tmp_path).leaderboard.iloc[0]
    assert (board.objective_low, board.objective_high) == pytest.approx((0.87, 0.92))


@pytest.mark.parametrize(("low", "said"), [(0.01, False), (-0.01, True)])
def test_a_winner_is_shown_beside_the_default_of_its_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], low: float, said: bool
) -> None:
    """With what it gains on test pairs, and a warning in the verdict where that may be noise, as the run's page says."""
    tested = {"test_accuracy_winner": 0.9, "test_accuracy_default": 0.87, "test_difference": 0.03}
    tested |= {"winner_trial": 1, "threshold_winner": 0.5, "threshold_default": 0.5}
    write(tmp_path, "r1", [0.8, 0.9], **tested, test_difference_low=low, test_difference_high=0.05)
    _, out, _ = run(capsys, "--results", str(tmp_path))
    assert "default 0.870" in out and f"{low:+.3f} to +0.050" in out
    assert ("Keep the default configuration: nothing tried is surely better." in " ".join(out.split())) is said


# What parameters do, and what accuracy costs


def test_runs_that_differ_in_their_seed_only_are_one_source_of_effects(tmp_path: Path) -> None:
    """Another backbone, or another fixed learning rate, is another question, answered by itself."""
    rising = list(np.linspace(0.6, 0.9, 6))
    write(tmp_path, "r1", rising, seed=0)
    write(tmp_path, "r2", rising, seed=1)
    write(tmp_path, "r3", rising, backbone="c")
    effects = read(tmp_path).effects
    assert [(row.runs, row.trials, row.certain) for row in effects.itertuples()] == [
        (["r1", "r2"], 12, True),
        (["r3"], 6, False),
    ]
    assert set(effects.parameter) == {"temperature"}


def test_runs_from_before_they_noted_what_they_searched_are_read_from_their_trials(tmp_path: Path) -> None:
    """What varies in them is what they searched."""
    write(tmp_path, "r1", [0.5, 0.6], searched=None)
    comparison = read(tmp_path)
    assert list(comparison.effects.parameter) == ["temperature"]
    assert comparison.leaderboard.configuration[0].startswith("temperature 0.2")


def test_a_price_is_told_with_what_it_surely_buys(tmp_path: Path) -> None:
    """Seconds of one machine; a step within noise is no base for the next."""
    write(tmp_path, "r1", [0.60, 0.61, 0.62, 0.63, 0.60])
    write(tmp_path, "r2", [0.99], hostname="server")
    prices = read(tmp_path).prices
    laptop = prices[prices.hostname == "laptop"]
    assert list(laptop.seconds) == [10, 20, 30, 40] and list(prices[prices.hostname == "server"].run) == ["r2"]
    assert list(laptop.gain[1:]) == pytest.approx([0.01, 0.02, 0.03])
    assert list(laptop.gain_certain) == [False, False, False, True], "0.03 is more than the root of twice 0.02 squared"


def test_a_threshold_is_told_with_its_purpose_and_what_it_does(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """By the winner's stored scores; the best that few false accepts allow beside it. Without scores nothing is said."""
    asked = {"winner_trial": 1, "threshold_winner": 0.55, "threshold_for": "far=0.1"}
    write(tmp_path, "r1", [0.5, 0.9], **asked)
    scores, labels = np.linspace(0, 1, 41, dtype=np.float32), np.arange(41) % 4 > 0
    arrays = {"epoch": 1, "pair": np.arange(41), "score": scores, "pair_label": labels.astype(np.int8)}
    RunTables(tmp_path, "temperature", "r1").write_scores(1, arrays)
    write(tmp_path, "r2", [0.8])
    code, out, _ = run(capsys, "--results", str(tmp_path), "--json")
    first, second = json.loads(out)["groups"][0]["leaderboard"]
    accepted = scores >= 0.55
    assert code == 0 and first["true_accept_rate"] == pytest.approx(accepted[labels].mean())
    assert first["false_accept_rate"] == pytest.approx(accepted[~labels].mean())
    assert first["tar_at_far_1e1"] == pytest.approx(verify(scores, labels).tar_at_far_1e1)
    assert first["tar_at_far_1e3"] is None and second["true_accept_rate"] is None
    _, out, _ = run(capsys, "--results", str(tmp_path))
    said = " ".join(out.split())
    assert re.search(r"threshold 0\.550 for far=0\.1: TAR 0\.\d+ at FAR 0\.\d+; TAR 0\.\d+ at FAR 0\.1", said)
    assert said.count("for accuracy: TAR") == 0


def test_the_columns_that_are_explained_are_there(tmp_path: Path) -> None:
    """results/README.md names no column that a table does not have."""
    write(tmp_path, "r1", [0.5])
    tables = with_rates(read(tmp_path), results.scores(tmp_path)).tables()
    text = (Path(__file__).parents[3] / "results" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`(?:leaderboard|effects|prices)`.*?) \| (`.*?`) \|", text, flags=re.MULTILINE)
    named = [re.findall(r"`(\w+)`", table + "|" + columns) for table, columns in rows]
    missing = [(t, c) for names in named for t in names if t in tables for c in names if c not in {*tables, *tables[t]}]
    assert len(rows) > 5 and not missing


# The command


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten runs of all five spaces on two data sets."""
    root = tmp_path_factory.mktemp("compare") / "results"
    make(root, runs=10, trials=16, epochs=3)
    return root


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = compare.main(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("width", [80, 120])
def test_the_text_fits_the_terminal_and_says_everything(made: Path, width: int) -> None:
    """No line is wider than the terminal, apart from the first, whose path may be copied."""
    console = Console(width=width, file=io.StringIO(), highlight=False)
    comparison = compared(results.runs(made, columns=RUN_COLUMNS), results.trials(made, columns=TRIAL_COLUMNS))
    print_comparison(console, comparison, "results", top=3)
    text = console.file.getvalue()
    lines = text.splitlines()[1:]
    assert max(map(len, lines)) <= width
    assert "2 groups: runs on other data or splits" in text and "… and 2 more runs, with --top 5" in text
    words = (
        "best: ",
        "not told apart from",
        "1 to ",
        "on test pairs",
        "higher is better",
        "no effect seen",
        "within noise",
    )
    assert not [word for word in words if word not in text]
    assert "…" not in "".join(line for line in lines if "temperature-made" in line), "no name is cut short"


def test_what_too_few_trials_vary_is_one_sentence(made: Path) -> None:
    """Not a row each that says nothing; and a parameter's name is whole at any width."""
    joint = ["joint-made-0004"]
    comparison = compared(*(read(made, runs=joint) for read in (results.runs, results.trials)))
    few = comparison.effects.parameter.isin(["temperature", "threshold"])
    known = replace(comparison, effects=comparison.effects.assign(trials=np.where(few, 3, 16)))
    console = Console(width=60, file=io.StringIO(), highlight=False)
    print_comparison(console, known, "results", top=3)
    lines = console.file.getvalue().splitlines()
    assert [line for line in lines if line.startswith("backbone_lr_ratio ")]
    said = " ".join(console.file.getvalue().split())
    assert re.search(r"too few to tell what (temperature, threshold|threshold, temperature) do\.", said)
    assert not [line for line in lines if line.startswith("temperature ")]


def test_json_has_everything(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All groups and tables, missing numbers as null."""
    code, out, _ = run(capsys, "--results", str(made), "--json")
    answer = json.loads(out)
    assert code == 0 and [group["data"] for group in answer["groups"]] == ["turntable", "vehicles.csv"]
    first = answer["groups"][0]
    assert len(first["leaderboard"]) == 5 and {"rank_low", "rank_high", "objective", "run"} <= set(
        first["leaderboard"][0]
    )
    assert {"importance_low", "direction", "certain", "note"} <= set(first["effects"][0])
    assert first["prices"][0]["gain"] is None and first["prices"][0]["seconds"] > 0


@pytest.mark.parametrize("table", TABLES)
def test_csv_and_parquet_hold_the_same_table(made: Path, tmp_path: Path, capsys, table: str) -> None:
    """CSV on the standard output, Parquet in a file."""
    options = ("--results", str(made), "--table", table)
    _, out, _ = run(capsys, *options, "--csv")
    code, silent, _ = run(capsys, *options, "--parquet", "--to", str(tmp_path / "x.parquet"))
    plain, typed = pd.read_csv(io.StringIO(out)), pq.read_table(tmp_path / "x.parquet").to_pandas()
    assert code == 0 and silent == "" and list(plain.columns) == list(typed.columns) and len(plain) == len(typed) > 2
    numbers = [name for name in plain if plain[name].dtype == float]
    pd.testing.assert_frame_equal(plain[numbers], typed[numbers].astype(float))


def test_runs_can_be_named(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only these are read and compared."""
    _, out, _ = run(capsys, "--results", str(made), "joint-made-0004", "joint-made-0009", "--csv")
    assert set(pd.read_csv(io.StringIO(out)).run) == {"joint-made-0004", "joint-made-0009"}


def test_a_damaged_file_is_one_line_on_the_standard_error(made: Path, tmp_path: Path, capsys) -> None:
    """The other runs are compared."""
    make(tmp_path, runs=2, trials=3, epochs=2)
    file = next((tmp_path / "trials").rglob("*temperature*/*.parquet"))
    file.write_bytes(b"PAR1")
    code, out, err = run(capsys, "--results", str(tmp_path))
    assert code == 0 and "learning_rate-made-0001" in out
    assert err.startswith(f"warning: {file} is damaged") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], r"there is no run 'nonsense' in .*; runs are: freezing-made-0003, .* Name one of them"),
        (["--results", "nowhere"], r"there is no '.*nowhere'; valid is a folder that python -m tuner.run"),
        (["--json", "--csv"], r"got --json and --csv; valid is one format at a time"),
        (["--to", "x"], r"--to is 'x', but the text goes to the terminal; add --json"),
        (["--csv", "--table", "price"], r"--table is 'price'; valid are: leaderboard, effects, prices.*perhaps prices"),
        (["--json", "--to", "/no/such/folder"], r"--to '/no/such/folder' cannot be written: No such file"),
        (["--top", "0"], r"--top is 0; valid is a number from 1"),
    ],
)
def test_mistakes_are_answered_with_what_is_valid(made: Path, capsys, arguments: list[str], message: str) -> None:
    """One line on the standard error, exit code 2."""
    code, out, err = run(capsys, "--results", str(made), *arguments)
    assert (code, out) == (2, "") and err.startswith("error: ") and err.count("\n") == 1
    assert pd.Series([err]).str.contains(message).all(), err


def test_binary_data_is_not_written_to_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """Parquet needs a file or a pipe."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, _, err = run(capsys, "--parquet")
    assert code == 2 and "add --to FILE" in err
