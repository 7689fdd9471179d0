"""The command as a whole: what a person sees, what lies in the tables, and that both are true."""

from __future__ import annotations

import re
import urllib.error
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.tools.real_ray import ROOT, SMALL, Command, alone, dashboard, table
from trainable.config import STARTS_FROM, Settings
from trainable.data.read_pairs import read_pairs
from trainable.metrics import verification
from tuner.export import main as export
from tuner.replay import main as replay
from tuner.results.schema import SCHEMAS

EPOCHS, TRIALS, VIEWS = 3, 4, 2
NULL_IN_HEALTHY_TRIALS = {
    "error",
    "replay_of",
    "started_from",
    "repeat_of",
    "win_share",
    "image_ms",
    "over_limits",
    "val_tar_at_far_1e1",
    "val_tar_at_far_1e2",
    "val_tar_at_far_1e3",
    *STARTS_FROM,
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the run leaves its results."""
    return tmp_path_factory.mktemp("end to end") / "results"


@pytest.fixture(scope="module")
def logins() -> dict[str, object]:
    """What the dashboard answered during the run: without a token, and with the one that the output points to."""
    return {}


@pytest.fixture(scope="module")
def command(pairs: Path, results: Path, logins: dict[str, object]) -> Command:
    """A run on a Ray of its own, ended, with a look into its dashboard on the way."""
    command = Command(
        results.parent, "--data", pairs, "--space", "temperature", "--results", "results",
        "--epochs", EPOCHS, "--trials", TRIALS, "--views", VIEWS, *SMALL,
    )  # fmt: skip
    command.until(lambda: command.begun, "it said where the dashboard is")
    url, _, login = command.printed("dashboard").partition(" — ")
    token = Path(login.rpartition(" ")[2]).expanduser().read_text().strip()
    for name, given in (("without", None), ("with", token)):
        try:
            logins[name] = dashboard(url, "/api/v0/nodes", given)["result"]
        except urllib.error.HTTPError as error:
            logins[name] = error.code
    command.expect(0)
    return command


@pytest.fixture(scope="module")
def trials(command: Command, results: Path) -> pd.DataFrame:
    """The first run's rows of `trials`."""
    return table(results, "trials", command.run)


def test_the_printed_login_opens_the_dashboard(command: Command, logins: dict[str, object]) -> None:
    """Its API refuses who has no token and lets in who has the one that the output points to, and Ray's command prints."""
    assert "`ray get-auth-token`" in command.printed("dashboard")
    assert logins == {"without": 401, "with": True}


def test_the_output_says_what_came_out(command: Command, results: Path) -> None:
    """The table, the winner beside the default with intervals, the four lines and where the results lie."""
    output = command.output
    for text in (
        "On test pairs, looked at once", "95 % interval", "winner ", "default ", "What to do  ",
        "contrastive loss positive and falling", "consistency loss above 0 and falling",
        "validation accuracy rising and above 0.5", "positive similarity high and negative low",
    ):  # fmt: skip
        assert text in output
    assert "winner − default:" in output or "what its threshold changes:" in output
    assert output.count("✓") + output.count("✗") == 4
    assert command.printed("results").startswith(str(results))
    assert "Traceback" not in output
    assert "Warning" not in output


def test_each_trial_ends_with_a_line(command: Command, trials: pd.DataFrame) -> None:
    """The output, being a file, has one line a trial with its state, in the order in which they ended.

    Between them, where none has ended for a while, it says how far the running ones are.
    """
    lines = [line for line in command.output.splitlines() if line.startswith("[") and " running " not in line]
    assert len(lines) == TRIALS
    for line, row in zip(lines, trials.sort_values("completion_order").itertuples(), strict=True):
        assert f"trial {row.trial:03d}" in line
        assert row.state in line


def test_the_printed_line_of_pandas_reads_the_run(command: Command, results: Path) -> None:
    """Evaluated as it stands it gives one row a trial."""
    frame = eval(command.printed("pandas"), {"pandas": pd})
    assert sorted(frame.trial) == list(range(TRIALS))
    assert set(SCHEMAS["trials"].names) <= set(frame.columns)


def test_the_run_ends_with_its_page(command: Command, results: Path) -> None:
    """It says where the page lies, which has the winner and the pictures of pairs."""
    page = Path(command.printed("page"))
    assert page == results / "reports" / f"{command.run}.html"
    text = page.read_text()
    assert command.run in text and "Which configuration should I use?" in text and "data:image/jpeg" in text


def test_every_trial_is_complete(trials: pd.DataFrame) -> None:
    """No value is missing but those that can be; the default is trial 0 and ran to its end."""
    missing = {name for name in trials.columns if trials[name].isna().any()}
    assert missing <= NULL_IN_HEALTHY_TRIALS
    default = trials.set_index("trial").loc[0]
    assert default.is_default
    assert (default.temperature, default.state, default.epochs) == (0.07, "completed", EPOCHS)
    assert (trials.train_s > 0).all()
    assert (trials.wait_s >= 0).all()
    assert trials.node.str.contains("/").all()
    assert set(trials.state) <= {"completed", "pruned"}


def test_metrics_follow_from_the_scores(command: Command, results: Path, trials: pd.DataFrame) -> None:
    """What `trials` says of the epoch that it is ranked by is what the table of scores gives when it is computed again."""
    scores, epochs = (table(results, name, command.run) for name in ("scores", "epochs"))
    for row in trials.itertuples():
        own = scores[scores.trial == row.trial]
        assert set(own.epoch) == {row.ranked_epoch}
        assert own.correct.astype(float).mean() == row.val_accuracy
        again = verification.verify(own.score.to_numpy(), own.pair_label.to_numpy())
        assert (again.auc, again.eer) == (row.val_auc, row.val_eer)
        assert again.positive_similarity == row.positive_similarity
        trained = epochs[epochs.trial == row.trial].set_index("epoch")
        assert list(trained.index) == list(range(1, row.epochs + 1))
        assert trained.loc[row.ranked_epoch, "objective"] == row.objective
        assert row.ranked_epoch == row.epochs, "the last one, where nothing else is asked for"
        assert trained.loc[row.best_epoch, "objective"] == trained.objective.max()


def test_a_trial_trained_without_ray_gives_the_same_bits(
    command: Command, results: Path, trials: pd.DataFrame, pairs: Path
) -> None:
    """Values and seed of its row give its losses and scores again, bit for bit, views and all."""
    epochs, scores = (table(results, name, command.run) for name in ("epochs", "scores"))
    for _, row in trials.iterrows():
        reports = alone(pairs, row, Settings(keep_sick=True), VIEWS)[: row.epochs]
        known = epochs[epochs.trial == row.trial]
        assert [report.contrastive_loss for report in reports] == known.contrastive_loss.tolist()
        assert [report.val_auc for report in reports] == known.val_auc.tolist()
        own = scores[scores.trial == row.trial].sort_values("pair")
        np.testing.assert_array_equal(reports[row.ranked_epoch - 1].scores, own.score.to_numpy())


def test_the_command_replay_finds_every_trial_the_same(
    command: Command, results: Path, trials: pd.DataFrame, capsys: pytest.CaptureFixture, one_thread: None
) -> None:
    """From the tables alone, views and all, though the run was given a path relative to another folder."""
    trial = trials.trial[trials.epochs.idxmin()]
    code = replay([command.run, str(trial), "--results", str(results)])
    assert (code, "numbers are equal, bit for bit" in capsys.readouterr().out) == (0, True)


SCORES = """
import runpy, sys
sys.path = [path for path in sys.path if path != {root!r}]
sys.argv[0] = {script!r}
runpy.run_path({script!r}, run_name="__main__")
assert not {{"trainable", "tuner"}} & {{name.partition(".")[0] for name in sys.modules}}
"""


def test_the_exported_winner_scores_image_files_as_the_search_did(
    command: Command, results: Path, pairs: Path, tmp_path: Path
) -> None:
    """By plain Python in another folder, to which this project is unknown; at the threshold of the verdict."""
    assert export([command.run, "--to", str(tmp_path / "model"), "--results", str(results)]) == 0
    (run,) = table(results, "runs", command.run).to_dict("records")
    known = table(results, "scores", command.run)
    known = known[known.trial == run["winner_trial"]].iloc[3]
    images = read_pairs(pairs, seed=0)
    files = [images.images[side[known.pair]] for side in (images.front, images.angle)]
    (tmp_path / "elsewhere").mkdir()
    script = tmp_path / "model" / "score.py"
    asked = Command(tmp_path / "elsewhere", *files, script=SCORES.format(script=str(script), root=str(ROOT)), PYTHONPATH="")
    cosine, answer, threshold = re.fullmatch(
        r"cosine (\S+)  (\w+) \(threshold (\S+)\)  probability 0\.\d+\n", asked.expect(0)
    ).groups()
    assert float(cosine) == pytest.approx(known.score, abs=1e-5)
    assert float(threshold) == pytest.approx(run["threshold_winner"], abs=1e-6)
    assert answer == ("same" if known.score >= run["threshold_winner"] else "different")


def test_the_run_has_its_verdict_and_its_provenance(command: Command, results: Path, trials: pd.DataFrame) -> None:
    """One row with the winner and default on test pairs, and what one needs to do it again."""
    (row,) = table(results, "runs", command.run).to_dict("records")
    best = trials[trials.objective == trials.objective.max()].trial.min()
    assert (row["state"], row["winner_trial"], row["trials_done"]) == ("finished", best, TRIALS)
    assert row["test_accuracy_winner_low"] <= row["test_accuracy_winner"] <= row["test_accuracy_winner_high"]
    assert row["test_difference"] == pytest.approx(row["test_accuracy_winner"] - row["test_accuracy_default"])
    for name in ("command", "data_fingerprint", "space_source", "versions", "started_at", "ended_at", "hostname"):
        assert row[name] is not None
    assert "--space temperature" in row["command"]
    assert row["views"] == VIEWS and pd.isna(row["feature_precision"])
    assert row["wall_s"] > trials.train_s.max()
