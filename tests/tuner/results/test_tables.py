"""The result tables: whole at every moment, readable with pandas alone, every column documented."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from trainable.config import TrialConfig
from trainable.errors import InputError
from tuner import results
from tuner.results import store as store_module
from tuner.results.schema import SCHEMA_VERSION, SCHEMAS, dictionary
from tuner.results.store import Store
from tuner.results.writer import RunTables, writable

PROJECT = Path(__file__).parents[3]
README = (PROJECT / "results" / "README.md").read_text(encoding="utf-8")
DESIGN_WORDS = """
    trial state learning_rate temperature threshold threshold_source trainable_blocks backbone_lr_ratio val_accuracy
    val_auc val_eer contrastive_loss consistency_loss positive_similarity negative_similarity best_epoch epochs train_s
    wait_s seed node error diagnoses
"""


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "results")


def fill(tables: RunTables, trials: int = 2) -> None:
    """A run of a few trials, two epochs each."""
    started_at = datetime(2026, 1, 2, tzinfo=UTC)
    tables.write_run({"state": "running", "started_at": started_at, "versions": {"python": "3.11"}})
    for trial in range(trials):
        tables.append_epochs([{"trial": trial, "epoch": epoch, "total_loss": 1 / epoch} for epoch in (1, 2)])
        scores = {"pair": [7, 9], "epoch": 2, "score": [0.9, 0.1], "pair_label": [1, 0], "correct": [True, True]}
        tables.write_scores(trial, scores)
        tables.append_trial({"trial": trial, "state": "completed", "objective": 0.5 + trial / 10, "diagnoses": []})


# Columns


def test_every_column_says_what_it_means_and_every_file_which_schema_it_follows(root: str) -> None:
    """Descriptions, units and the schema's version survive in the files, for readers that know nothing of us."""
    fill(RunTables(root, "temperature", "r1"))
    for table in SCHEMAS:
        file = next(Path(root, table).rglob("*.parquet"))
        schema = pq.read_schema(file)
        assert schema.metadata[b"schema_version"] == str(SCHEMA_VERSION).encode()
        assert schema.metadata[b"table"] == table.encode()
        assert schema.names == SCHEMAS[table].names
        assert all(field.metadata[b"description"] and b"unit" in field.metadata for field in schema)


def test_the_column_dictionary_and_the_schemas_are_the_same() -> None:
    """results/README.md lists each table's columns exactly as the schema has them: none missing, none left over."""
    sections = dict(re.findall(r"^## `(\w+)`\n\n(.*?)(?=\n\n|\n*\Z)", README, flags=re.MULTILINE | re.DOTALL))
    assert sections.keys() == SCHEMAS.keys()
    for table, text in sections.items():
        assert text == dictionary(table), f"results/README.md should say of {table}:\n{dictionary(table)}"


def test_the_trials_table_has_the_words_of_the_design_and_every_parameter() -> None:
    """A row of `trials` is enough to train the trial again."""
    names = SCHEMAS["trials"].names
    assert set(DESIGN_WORDS.split()) <= set(names)
    assert set(TrialConfig.names()) <= {*names, "epochs"}
    assert "max_epochs" in names


def test_partitions_are_directories_and_never_columns() -> None:
    """A column that were in the file and in its path could contradict itself."""
    assert all(not {"space", "run"} & set(schema.names) for schema in SCHEMAS.values())


# Reading with pandas alone


def test_pandas_reads_the_tables_before_the_first_trial_has_ended(root: str) -> None:
    """A run that has just begun has an empty table, not an error."""
    RunTables(root, "temperature", "r1")
    frame = pd.read_parquet(f"{root}/trials")
    assert len(frame) == 0
    assert [*SCHEMAS["trials"].names, "space", "run"] == list(frame.columns)


def test_pandas_reads_many_runs_of_different_spaces_as_one_table(root: str) -> None:
    """Every run ever made is one table, with the space and the run as columns."""
    for space, run in (("temperature", "r1"), ("temperature", "r2"), ("my space", "half=1/2 %")):
        fill(RunTables(root, space, run))
    frame = pd.read_parquet(f"{root}/trials")
    found = frame.groupby(["space", "run"], observed=True).size().to_dict()
    assert found == {("temperature", "r1"): 2, ("temperature", "r2"): 2, ("my space", "half=1/2 %"): 2}
    for table, rows in (("epochs", 12), ("scores", 12), ("runs", 3)):
        assert len(pd.read_parquet(f"{root}/{table}")) == rows


def test_a_column_that_one_run_leaves_empty_keeps_its_type(root: str) -> None:
    """A run without a single error or accuracy does not turn these columns into untyped ones for all runs."""
    RunTables(root, "a", "r1").append_trial({"trial": 0, "state": "failed"})
    RunTables(root, "b", "r2").append_trial({"trial": 0, "state": "failed", "val_accuracy": 0.5, "error": "no memory"})
    frame = pd.read_parquet(f"{root}/trials")
    assert frame.val_accuracy.dtype == "float64"
    assert set(frame.error.dropna()) == {"no memory"}
    for file in Path(root, "trials").rglob("*.parquet"):
        assert pq.read_schema(file).equals(SCHEMAS["trials"])


def test_the_examples_of_the_column_dictionary_run(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What results/README.md tells a reader to type works."""
    fill(RunTables(root, "temperature", "RUN"))
    monkeypatch.chdir(Path(root).parent)
    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    exec(example, {})


def test_tidy_tables_keep_integers_and_booleans_with_gaps(root: str) -> None:
    """A missing number does not turn integers into floats; the partitions come first, as text."""
    tables = RunTables(root, "a", "r1")
    tables.append_trial({"trial": 0, "state": "failed"})
    tables.append_trial({"trial": 1, "state": "completed", "best_epoch": 3, "is_default": True, "trainable_blocks": 4})
    frame = results.trials(root)
    assert list(frame.columns[:2]) == ["space", "run"]
    assert frame.best_epoch.dtype == "Int64" and frame.is_default.dtype == "boolean" and frame.trial.dtype == "int64"
    assert frame.best_epoch[1] == 3 and frame.best_epoch.isna()[0]


def test_tidy_tables_are_empty_where_nothing_was_written(root: str) -> None:
    """An empty folder gives the columns and no rows; one that is not there is a mistake in its name."""
    with pytest.raises(InputError, match=r"there is no '.*'; valid is a folder that python -m tuner.run"):
        results.trials(root)
    Store.at(root).fs.create_dir(Store.at(root).root)
    for read in (results.runs, results.trials, results.epochs, results.scores):
        assert len(read(root)) == 0 and {"space", "run"} <= set(read(root).columns)


def test_tidy_tables_can_be_limited_to_runs(root: str) -> None:
    """`runs=` picks runs by name, and an unknown name is answered with the known ones."""
    for run in ("r1", "r2", "r3"):
        fill(RunTables(root, "a", run))
    assert set(results.trials(root, runs=["r1", "r3"]).run) == {"r1", "r3"}
    assert {(row.run, row.trial) for row in results.scores(root, ["r2"], trials=[1]).itertuples()} == {("r2", 1)}
    assert not len(results.scores(root, ["r2"], trials=[]))
    with pytest.raises(InputError, match=r"no run 'r9'.*r1, r2, r3"):
        results.scores(root, runs=["r9"])


# Writing


def test_a_trial_that_ends_again_replaces_its_row(root: str) -> None:
    """A retried trial has one row, that of its last attempt, and rows stay in the order of the trials."""
    tables = RunTables(root, "a", "r1")
    tables.append_trial({"trial": 1, "state": "completed"})
    tables.append_trial({"trial": 0, "state": "failed", "error": "node lost"})
    tables.append_trial({"trial": 0, "state": "completed"})
    frame = pd.read_parquet(f"{root}/trials")
    assert list(frame.trial) == [0, 1]
    assert list(frame.state) == ["completed", "completed"] and frame.error.isna().all()


def test_epochs_trained_again_replace_those_from_there_on(root: str) -> None:
    """A trial that goes back to its checkpoint after epoch 2 keeps 1 and 2, and nothing of its former 3 and 4."""
    tables = RunTables(root, "a", "r1")
    tables.append_epochs([{"trial": 0, "epoch": epoch, "total_loss": 1.0} for epoch in (1, 2, 3, 4)])
    tables.append_epochs([{"trial": 1, "epoch": 1, "total_loss": 1.0}])
    tables.append_epochs([{"trial": 0, "epoch": 3, "total_loss": 2.0}])
    frame = pd.read_parquet(f"{root}/epochs")
    assert list(zip(frame.trial, frame.epoch, frame.total_loss, strict=True)) == [
        (0, 1, 1.0), (0, 2, 1.0), (0, 3, 2.0), (1, 1, 1.0),
    ]  # fmt: skip


def test_scores_of_a_trial_written_again_replace_the_former(root: str) -> None:
    """One file a trial: the second writing wins."""
    tables = RunTables(root, "a", "r1")
    for score in (0.25, 0.75):
        columns = {"pair": [5], "epoch": 1, "score": np.float32([score]), "pair_label": [1], "correct": [True]}
        tables.write_scores(3, columns)
    frame = pd.read_parquet(f"{root}/scores")
    assert (frame.trial[0], frame.pair[0], frame.score[0], len(frame)) == (3, 5, 0.75, 1)
    assert frame.score.dtype == "float32" and frame.pair_label.dtype == "int8"


def test_the_run_keeps_what_was_written_of_it_before(root: str) -> None:
    """A run ends with the fields of its end alone; provenance stays as it was at the start, also over a resumption."""
    fill(RunTables(root, "a", "r1"))
    tables = RunTables(root, "a", "r1")
    tables.write_run({"state": "finished", "winner_trial": 1})
    row = results.runs(root).iloc[0]
    assert (row.state, row.winner_trial, row.versions) == ("finished", 1, {"python": "3.11"})
    assert row.started_at == pd.Timestamp("2026-01-02", tz="UTC") and pd.isna(row.ended_at)
    assert tables.run_row()["versions"] == {"python": "3.11"}


def test_a_resumed_run_goes_on_with_the_rows_it_had(root: str) -> None:
    """The trials and epochs of the former process are kept and can be read back."""
    fill(RunTables(root, "a", "r1"))
    tables = RunTables(root, "a", "r1")
    assert [row["trial"] for row in tables.trial_rows()] == [0, 1]
    assert [row["epoch"] for row in tables.epoch_rows(1)] == [1, 2] and tables.epoch_rows(2) == []
    assert list(tables.read_scores(1)["pair"]) == [7, 9] and tables.read_scores(2) is None
    tables.append_trial({"trial": 2, "state": "pruned"})
    tables.append_epochs([{"trial": 2, "epoch": 1}])
    assert list(pd.read_parquet(f"{root}/trials").trial) == [0, 1, 2]
    assert len(pd.read_parquet(f"{root}/epochs")) == 5


def test_what_is_missing_is_null_and_never_zero_or_nan(root: str) -> None:
    """Absent keys, None and NaN are all stored as null."""
    tables = RunTables(root, "a", "r1")
    nan = float("nan")
    tables.append_trial({"trial": 0, "state": "sick", "val_auc": nan, "val_eer": np.float32(nan), "epochs": None})
    stored = pq.ParquetFile(next(Path(root, "trials").rglob("*.parquet"))).read()
    missing = {name for name in stored.column_names if stored[name].null_count == 1}
    assert missing == set(stored.column_names) - {"trial", "state"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"trial": 0, "state": "completed", "val_acuracy": 1.0}, "no column 'val_acuracy'; near are: val_accuracy"),
        ({"trial": 0}, "no state"),
        ({"trial": 0, "state": "completed", "seed": 0.5}, "seed is 0.5; valid is a whole number"),
    ],
)
def test_a_row_that_does_not_fit_the_schema_is_refused(root: str, row: dict, message: str) -> None:
    """A misspelt column is not dropped in silence, a fraction not cut off; what was written before stays readable."""
    tables = RunTables(root, "a", "r1")
    fill(tables)
    with pytest.raises(ValueError, match=message):
        tables.append_trial(row)
    tables.append_trial({"trial": 5, "state": "completed"})
    assert list(pd.read_parquet(f"{root}/trials").trial) == [0, 1, 5]


@pytest.mark.parametrize(("space", "run"), [("12", "r1"), ("a", "2026"), ("a", ".."), ("", "r1")])
def test_names_that_a_directory_cannot_carry_as_text_are_refused(root: str, space: str, run: str) -> None:
    """An all-digit name would be read back as a number."""
    with pytest.raises(InputError, match="with a letter"):
        RunTables(root, space, run)
    assert not Path(root).exists()


def test_a_torn_file_of_a_killed_writer_is_not_seen(root: str) -> None:
    """Unfinished files have hidden names: readers skip them and the next writing replaces them."""
    tables = RunTables(root, "a", "r1")
    fill(tables)
    part = next(Path(root, "trials").rglob("part-0.parquet"))
    part.with_name(f".{part.name}").write_bytes(b"PAR1 torn")
    assert len(pd.read_parquet(f"{root}/trials")) == 2
    tables.append_trial({"trial": 2, "state": "completed"})
    assert [file.name for file in part.parent.iterdir()] == ["part-0.parquet"]


WRITER = """
import sys
from tuner.results import parts
from tuner.results.writer import RunTables
parts.FULL = 4  # a reader meets the beginning of files, too
tables = RunTables(sys.argv[1], "temperature", "r1")
for trial in range(100_000):
    tables.append_epochs([{"trial": trial, "epoch": epoch} for epoch in (1, 2, 3)])
    tables.append_trial({"trial": trial, "state": "completed", "objective": 0.5})
    print(trial, flush=True)
"""


def test_reading_while_a_run_is_writing_and_after_it_was_killed(root: str) -> None:
    """A reader meets no error, no part of a row and no row twice; a killed writer loses no trial it had reported."""
    RunTables(root, "learning_rate", "r0")
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", WRITER, root]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as writer:
        assert writer.stdout.readline() == "0\n"
        seen = 0
        while seen < 30:
            frame = pd.read_parquet(f"{root}/trials")
            assert list(frame.trial) == list(range(len(frame)))
            assert frame.objective.eq(0.5).all() and frame.run.eq("r1").all()
            epochs = pd.read_parquet(f"{root}/epochs")
            assert not epochs.duplicated(["trial", "epoch"]).any() and len(epochs) % 3 == 0
            assert len(epochs) >= 3 * len(frame) >= 3 * seen
            seen = len(frame)
        writer.send_signal(signal.SIGKILL)
        reported = [int(line) for line in writer.stdout.read().split()]
    trials = list(pd.read_parquet(f"{root}/trials").trial)
    assert trials[: len(reported) + 1] == [0, *reported]
    assert [row["trial"] for row in RunTables(root, "temperature", "r1").trial_rows()] == trials


# Roots


@pytest.mark.parametrize("stores_are_direct", [False, True])
def test_tables_on_a_file_system_that_is_not_local(stores_are_direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rows come back from any pyarrow file system, by renaming or, as on object stores, by one upload."""
    if stores_are_direct:
        monkeypatch.setattr(store_module, "_OBJECT_STORES", ("mock",))
    store = Store(pafs._MockFileSystem(), "bucket/results", "mock://bucket/results")
    fill(RunTables(store, "a", "r1"))
    fill(RunTables(store, "a", "r1"), trials=3)
    assert list(results.trials(store).trial) == [0, 1, 2]
    assert (len(results.epochs(store)), len(results.scores(store)), len(results.runs(store))) == (6, 6, 1)
    assert list(pd.read_parquet("bucket/results/trials", filesystem=store.fs).trial) == [0, 1, 2]
    assert results.known_runs(store) == ["r1"]
    assert writable(store) == "mock://bucket/results"


def test_a_file_uri_and_its_path_are_the_same_place(tmp_path: Path) -> None:
    """file:// is written like any URI and read like a folder."""
    fill(RunTables((tmp_path / "r").as_uri(), "a", "r1"))
    assert len(results.trials(str(tmp_path / "r"))) == 2


def test_the_options_of_a_uri_stay_at_its_end() -> None:
    """A folder below a root such as s3://bucket/results?region=… is still in that region."""
    store = Store(pafs._MockFileSystem(), "bucket/results", "mock://bucket/results?region=here")
    assert results.state_dir(store, "r 1") == "mock://bucket/results/state/r%201?region=here"


def test_a_relative_root_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory may change after the start: everything that is returned is absolute."""
    monkeypatch.chdir(tmp_path)
    assert writable("results") == str(tmp_path / "results")
    assert results.state_dir("results", "r1") == str(tmp_path / "results" / "state" / "r1")


def test_asking_whether_a_root_is_writable_leaves_nothing_behind(tmp_path: Path) -> None:
    """Neither for a root that can be written nor for one that cannot is anything left in the way."""
    (tmp_path / "file").write_text("")
    writable(tmp_path / "deep" / "results")
    with pytest.raises(InputError):
        writable(tmp_path / "file" / "results")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("below", "message"),
    [
        ("file", "file is a file, where a folder is needed"),
        ("file/results", "file is a file, where a folder is needed"),
        ("closed/results", "cannot be written"),
    ],
)
def test_a_root_that_cannot_be_written_is_an_input_error(tmp_path: Path, below: str, message: str) -> None:
    """A file in the way or a missing permission is told before anything starts."""
    (tmp_path / "file").write_text("")
    (tmp_path / "closed").mkdir(mode=0o500)
    if below.startswith("closed") and os.access(tmp_path / "closed", os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(InputError, match=message):
        writable(tmp_path / below)


def test_a_file_system_that_refuses_is_an_input_error() -> None:
    """A place where nobody may write, whoever runs the test."""
    if not Path("/proc").is_dir():
        pytest.skip("no /proc here")
    with pytest.raises(InputError, match=r"'/proc/results' cannot be written.*Change --results"):
        writable("/proc/results")


def test_an_unknown_kind_of_uri_is_answered_with_the_known_ones() -> None:
    """The message lists the URIs that are valid."""
    with pytest.raises(InputError, match=r"'ftp://host/results' cannot be opened.*s3://, gs://"):
        writable("ftp://host/results")


def test_the_known_runs_are_listed(root: str) -> None:
    """Runs of all spaces, sorted; none where there is no results folder yet."""
    assert results.known_runs(root) == []
    for space, run in (("b", "r2"), ("a", "r 1")):
        fill(RunTables(root, space, run))
    assert results.known_runs(root) == ["r 1", "r2"]


def test_an_older_file_with_fewer_columns_is_still_read(root: str) -> None:
    """A column added later is null in older files, for the tidy tables and for a resumed run."""
    tables = RunTables(root, "a", "r1")
    fill(tables)
    file = next(Path(root, "trials").rglob("*.parquet"))
    older = pq.ParquetFile(file).read().drop_columns(["retries", "checkpoint"])
    pq.write_table(older, file)
    assert results.trials(root).retries.isna().all()
    assert [row["retries"] for row in RunTables(root, "a", "r1").trial_rows()] == [None, None]
    assert pa.types.is_int64(pq.read_schema(file).field("retries").type)
