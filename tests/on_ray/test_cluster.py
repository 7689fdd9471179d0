"""On a running cluster of several nodes: trials anywhere, failing workers and nodes, the dashboard."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
import ray
from optuna.trial import TrialState

from tests.on_ray.conftest import running_cluster
from tests.tools.real_ray import SMALL, Here, Watch, alone, own_dashboard, table, until
from trainable.config import Settings
from tuner.results.trial_record import TrialRecord
from tuner.search.recorder import Recorder

EPOCHS, TRIALS = 6, 3
SICKENING = '''"""Does a learning rate that breaks the numbers end the search?"""


def suggest(trial):
    """One rate that works and one that cannot."""
    return {"learning_rate": trial.suggest_categorical("learning_rate", [1e-3, 1e30]),
            "temperature": trial.suggest_float("temperature", 0.05, 0.5, log=True)}
'''


def start(cluster: Any, pairs: Path, results: Path, *arguments: object, **watch: Watch) -> Here:
    """A run on the cluster, ended."""
    common = ("--address", cluster.address, "--data", pairs, "--results", results)
    return Here(*common, *SMALL, *arguments, **watch)


class Rough:
    """A run on two nodes of which one is lost in the middle of a trial; and what was seen of it on the way."""

    def __init__(self, cluster: Any, pairs: Path, results: Path) -> None:
        self.cluster, self.results = cluster, results
        self.mortal = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        self.held: dict[bool, int] = {}  # process of a worker that was stopped, by: is it on the mortal node
        self.began: dict[bool, int] = {}  # the first trial of each node
        self.moved: int | None = None
        try:
            command = start(
                cluster, pairs, self.results, "--epochs", EPOCHS, "--trials", TRIALS, "--scheduler", "none",
                "--max-failures", 3, "--trainable-blocks", 2, watch=self.disturb,
            )  # fmt: skip
        finally:  # a stopped worker would outlive the test
            self.release(True)
            self.release(False)
        self.output, self.run = command.expect(0), command.run
        self.trials = table(self.results, "trials", self.run).set_index("trial")
        tasks = own_dashboard(f"http://{cluster.webui_url}", "/api/v0/tasks?limit=5000")["data"]["result"]["result"]
        self.task_names = {task["name"] for task in tasks}

    def disturb(self, recorder: Recorder, record: TrialRecord, result: dict[str, Any]) -> None:
        """Hold each node's worker until both train; let one go on to its second trial, and take its node away there.

        Not before it has begun that one: Tune gives a trial up whose worker is lost while it is handed over.
        """
        if self.moved is not None:
            return
        on_mortal = record.node.endswith(self.mortal.node_id[:8])
        if len(self.began) < 2:  # until both nodes train: the one that was first would else be done with all trials
            self.began[on_mortal] = record.number
            self.held[on_mortal] = result["pid"]
            os.kill(result["pid"], signal.SIGSTOP)
            if len(self.began) == 2:
                self.release(True)
        elif on_mortal and record.number != self.began[True] and result["epoch"] >= 2:  # its first epoch was saved
            self.gauges = until(lambda: self.gauges_of(record), "the gauges appeared")
            self.moved = record.number
            self.cluster.remove_node(self.mortal)
            self.release(False)

    def release(self, on_mortal: bool) -> None:
        """Let the held worker of that node go on."""
        with contextlib.suppress(KeyError, ProcessLookupError):
            os.kill(self.held.pop(on_mortal), signal.SIGCONT)

    def gauges_of(self, record: TrialRecord) -> list[str]:
        """Lines of the nodes' metrics, as Prometheus reads them, that are of the trial."""
        opener, lines = urllib.request.build_opener(urllib.request.ProxyHandler({})), []
        for node in self.cluster.list_all_nodes():
            with opener.open(
                f"http://{node.node_ip_address}:{node.metrics_export_port}/metrics", timeout=300
            ) as answer:
                lines += answer.read().decode().splitlines()
        return [line for line in lines if line.startswith("ray_tuner_") and f'trial="{record.title}"' in line]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """One of this module's own, as it has a dashboard, and metrics that appear within seconds."""
    soon = {"metrics_report_interval_ms": 2000}
    with running_cluster(include_dashboard=True, _system_config=soon) as started:
        yield started


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs of this module leave their results."""
    return tmp_path_factory.mktemp("cluster") / "results"


@pytest.fixture(scope="module")
def rough(cluster: Any, pairs: Path, results: Path) -> Rough:
    """The rough run, done once."""
    return Rough(cluster, pairs, results)


def test_trials_run_on_several_nodes(rough: Rough) -> None:
    """The column `node` tells where each trial ran; it was more than one node."""
    assert rough.trials.node.nunique() >= 2


def test_a_lost_worker_costs_a_retry_and_nothing_else(rough: Rough) -> None:
    """Its trial was taken up again from its checkpoint, on the other node, and ended well."""
    row = rough.trials.loc[rough.moved]
    assert row.retries >= 1
    assert (row.state, row.epochs) == ("completed", EPOCHS)
    assert re.search(rf"trial {rough.moved:03d} broke off on \S+ after epoch \d+: .*; it goes on", rough.output)


def test_the_search_survives_the_loss_of_a_node(rough: Rough) -> None:
    """All trials end well although a node, with its worker and its copy of the features, went away in the middle."""
    assert ", for trainable_blocks 2: " in rough.output
    assert sorted(rough.trials.index) == list(range(TRIALS))
    assert set(rough.trials.state) == {"completed"}, rough.trials.error.to_list()
    assert "On test pairs, looked at once" in rough.output


def test_neither_node_nor_failure_shows_in_the_numbers(rough: Rough, pairs: Path) -> None:
    """The trial whose worker was lost has, to the bit, the losses that it has when nothing happens to it.

    Nor does it show that it started from features, of which the lost node held a copy.
    """
    epochs = table(rough.results, "epochs", rough.run)
    row = rough.trials.reset_index().set_index("trial", drop=False).loc[rough.moved]
    reports = alone(pairs, row, Settings(keep_sick=True))
    known = epochs[epochs.trial == rough.moved].sort_values("epoch")
    assert [report.contrastive_loss for report in reports] == known.contrastive_loss.tolist()
    assert [report.val_auc for report in reports] == known.val_auc.tolist()


def test_the_dashboard_shows_trials_under_readable_names(rough: Rough) -> None:
    """Its tasks are called by the trial's number and what is special about it."""
    for number, row in rough.trials.iterrows():
        assert f"trial {number:03d} temperature={row.temperature:.3g}" in rough.task_names


def test_metrics_of_a_trial_are_exported(rough: Rough) -> None:
    """Prometheus finds accuracy and losses of each running trial, tagged with run and trial."""
    names = {line.partition("{")[0] for line in rough.gauges}
    assert {"ray_tuner_val_accuracy", "ray_tuner_contrastive_loss", "ray_tuner_consistency_loss"} <= names
    assert all(f'run="{rough.run}"' in line for line in rough.gauges)
    assert all(re.search(r'trial="trial \d{3} temperature=', line) for line in rough.gauges)


@pytest.fixture(scope="module")
def failing(cluster: Any, pairs: Path, results: Path, tmp_path_factory: pytest.TempPathFactory) -> Here:
    """A run of a user's own space in which the default trial's worker is killed, without a retry, and others fall sick."""
    space = tmp_path_factory.mktemp("space") / "sickening.py"
    space.write_text(SICKENING)

    def kill(recorder: Recorder, record: TrialRecord, result: dict[str, Any]) -> None:
        if record.number == 0:
            os.kill(result["pid"], signal.SIGKILL)

    command = start(
        cluster, pairs, results, "--space", space, "--epochs", EPOCHS, "--trials", 4, "--max-failures", 0,
        "--scheduler", "none", "--sampler", "random", "--seed", 3, "--metric", "val_eer", watch=kill,
    )  # fmt: skip
    command.expect(0)
    return command


def test_failed_and_sick_trials_are_recorded_and_the_search_goes_on(failing: Here, results: Path) -> None:
    """Without a retry a killed worker fails its trial, with the error; NaN makes a trial sick; others complete."""
    trials = table(results, "trials", failing.run).set_index("trial")
    assert len(trials) == 4
    failed, sick = trials.loc[0], trials[trials.learning_rate == 1e30]
    assert (failed.state, failed.retries) == ("failed", 0)
    assert "died" in failed.error
    assert len(sick) >= 1
    assert set(sick.state) == {"sick"}
    assert (sick.retries == 0).all()
    assert sick.error.str.contains("NaN").all()
    assert set(trials.drop(index=[0, *sick.index]).state) == {"completed"}
    told = _states(results, failing.run)
    assert told[0] == TrialState.FAIL and all(told[number] != TrialState.FAIL for number in sick.index)
    assert "Trial 0, the default configuration, is failed" in failing.output
    assert "On test pairs, looked at once" in failing.output


def test_the_metric_that_was_asked_for_decides(failing: Here, results: Path) -> None:
    """Ranked by the equal error rate, the lowest of a healthy trial wins."""
    (run,) = table(results, "runs", failing.run).to_dict("records")
    healthy = table(results, "trials", failing.run).query("state == 'completed'").set_index("trial")
    assert healthy.loc[run["winner_trial"], "val_eer"] == healthy.val_eer.min()
    assert (healthy.objective == healthy.val_eer).all()


def test_runs_of_different_spaces_share_the_tables(rough: Rough, failing: Here, results: Path) -> None:
    """Read without a word about schemas, `trials` holds both runs; `space` and `run` tell them apart."""
    frame = pd.read_parquet(results / "trials")
    sizes = frame.groupby("run", observed=True).size().to_dict()
    assert (sizes[rough.run], sizes[failing.run]) == (TRIALS, 4)
    assert {"temperature", "sickening"} <= set(frame.space)
    assert {rough.run, failing.run} <= set(pd.read_parquet(results / "runs").run)


def test_a_run_without_a_healthy_trial_says_why(cluster: Any, pairs: Path, tmp_path: Path) -> None:
    """Exit code 1, the reason with the trials that it befell, and a row that says failed."""
    command = start(cluster, pairs, tmp_path, "--learning-rate", 1e30, "--epochs", 1, "--trials", 1)
    output = command.expect(1)
    assert re.search(r"No trial can win\. trial 0: not finite", output)
    (run,) = table(tmp_path, "runs", command.run).to_dict("records")
    assert run["state"] == "failed"
    assert "not finite" in run["error"]


def test_the_threshold_space_trains_once(cluster: Any, pairs: Path, results: Path) -> None:
    """One training answers all its trials; the winner's weights are trained again where its best epoch is another."""
    command = start(cluster, pairs, results, "--space", "threshold", "--epochs", 3, "--trials", 12)
    command.expect(0)
    trials = table(results, "trials", command.run).set_index("trial")
    assert len(trials) >= 12
    assert (trials.train_s > 0).sum() == 1
    assert set(trials.replay_of.dropna()) == {0}
    assert trials.val_accuracy.max() > trials.val_accuracy[0]


def test_more_than_a_real_ray_has(cluster: Any, pairs: Path, tmp_path: Path) -> None:
    """A trial that asks for more cores than there are is refused; nothing is written, and Ray is left again."""
    output = start(cluster, pairs, tmp_path / "results", "--cpus-per-trial", 9999).expect(2)
    assert "error: a trial asks for 9999 CPUs" in output
    assert not ray.is_initialized()
    assert not (tmp_path / "results").exists()


def _states(results: Path, run: str) -> dict[int, TrialState]:
    file = results / "state" / run / "study.log"
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(file)))
    trials = optuna.load_study(study_name=run, storage=storage).get_trials()
    return {trial.user_attrs["number"]: trial.state for trial in trials if "number" in trial.user_attrs}
