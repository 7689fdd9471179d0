"""Old results stay readable; what is foreign, damaged or newer is named and skipped, never half read."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from benchmarks.made_results import make
from trainable.errors import InputError
from tuner import results
from tuner.results import reading
from tuner.results.reading import SkippedFileWarning
from tuner.results.schema import DEFAULTS, PARTITIONS, SCHEMA_VERSION, SCHEMAS
from tuner.results.store import Store
from tuner.results.writer import RunTables


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two runs of five trials: temperature-made-0000 and learning_rate-made-0001."""
    make(tmp_path / "results", runs=2, trials=5, epochs=3)
    return tmp_path / "results"


def part(root: Path, table: str, run: str = "temperature-made-0000") -> Path:
    """The file of the run."""
    return root / table / f"space={run.partition('-')[0]}" / f"run={run}" / "part-0.parquet"


def rewrite(file: Path, drop: tuple[str, ...] = (), **metadata: str | None) -> None:
    """The file without some columns and with other metadata."""
    table = pq.ParquetFile(file).read().drop_columns(list(drop))
    kept = {**table.schema.metadata, **{name.encode(): value for name, value in metadata.items()}}
    pq.write_table(table.replace_schema_metadata({k: v for k, v in kept.items() if v is not None}), file)


# Older and newer files


def test_a_run_of_version_1_had_one_view(root: Path) -> None:
    """A file written before views were drawn has no such column; one of today keeps what it says."""
    rewrite(part(root, "runs"), drop=("views", "searched"), schema_version="1")
    found = results.runs(root).set_index("run")
    assert found.views["temperature-made-0000"] == 1 and found.searched["temperature-made-0000"] is None
    assert pd.isna(found.views["learning_rate-made-0001"]) and found.views.dtype == "Int64"


def test_a_run_of_version_1_that_knew_its_views_keeps_them(root: Path) -> None:
    """They were added before the version rose."""
    table = pq.ParquetFile(part(root, "runs")).read()
    place = table.column_names.index("views")
    table = table.set_column(place, table.field("views"), pa.array([4]))
    pq.write_table(
        table.replace_schema_metadata({**table.schema.metadata, b"schema_version": b"1"}), part(root, "runs")
    )
    assert results.runs(root, runs=["temperature-made-0000"]).views.item() == 4


def test_every_older_version_can_be_upgraded() -> None:
    """Whoever raises the version says what becomes of the files before it."""
    assert set(reading.UPGRADES) == set(range(1, SCHEMA_VERSION))


def test_a_file_of_the_first_release_is_read(root: Path, tmp_path: Path) -> None:
    """Written by hand with the few columns that a run of then is known by; the rest is null, in its type."""
    file = part(root, "trials", "temperature-made-0009")
    file.parent.mkdir(parents=True)
    columns = {
        "trial": pa.array([0, 1]),
        "state": pa.array(["completed", "failed"]),
        "objective": pa.array([0.9, None]),
    }
    pq.write_table(pa.table(columns).replace_schema_metadata({"table": "trials", "schema_version": "1"}), file)
    found = results.trials(root).query("run == 'temperature-made-0009'")
    assert list(found.state) == ["completed", "failed"] and found.replay_of.isna().all()
    assert found.replay_of.dtype == "Int64" and found.train_s.dtype == "float64"


def test_upgrades_follow_one_another(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file two versions behind passes both, in their order."""
    monkeypatch.setattr(reading, "SCHEMA_VERSION", 4)
    steps = []
    for version in (2, 3):
        upgrade = lambda table, rows, version=version: steps.append((table, version)) or rows  # noqa: E731
        monkeypatch.setitem(reading.UPGRADES, version, upgrade)
    results.trials(root, runs=["temperature-made-0000"])
    assert steps == [("trials", 2), ("trials", 3)]


def test_a_newer_file_says_that_the_program_is_old(root: Path) -> None:
    """It is named and skipped; the other run is read."""
    rewrite(part(root, "trials"), schema_version=str(SCHEMA_VERSION + 1))
    newer = (
        rf"run=temperature-made-0000/part-0.parquet follows version {SCHEMA_VERSION + 1} .* update the program. It is"
    )
    with pytest.warns(SkippedFileWarning, match=newer):
        found = results.trials(root)
    assert set(found.run) == {"learning_rate-made-0001"}


# Foreign and damaged files


@pytest.mark.parametrize("keep", [0, 3, 4, 100, 5000, -1])
def test_a_damaged_file_is_named_and_skipped(root: Path, keep: int) -> None:
    """Cut off anywhere: nothing, a part, or all but a byte of it is left."""
    file = part(root, "epochs")
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.warns(SkippedFileWarning, match=rf"^{file} is damaged or no Parquet file .*: remove it. It is skipped"):
        found = results.epochs(root)
    assert set(found.run) == {"learning_rate-made-0001"}


def test_damage_within_a_file_is_no_crash(root: Path) -> None:
    """Bytes overwritten anywhere: the file is read or named, and no other error comes through."""
    whole, random = part(root, "trials").read_bytes(), np.random.default_rng(0)
    for _ in range(40):
        broken = bytearray(whole)
        place = int(random.integers(len(whole) - 64))
        broken[place : place + 64] = random.bytes(64)
        part(root, "trials").write_bytes(bytes(broken))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SkippedFileWarning)
            assert "learning_rate-made-0001" in set(results.trials(root).run)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"table": "epochs"}, "was not written by this program as a part of the table trials"),
        ({"schema_version": None}, "was not written by this program"),
        ({"schema_version": "0"}, "was not written by this program"),
        ({"drop": ("state",)}, "has rows without state, which every row of the table trials has"),
    ],
)
def test_a_foreign_parquet_file_is_named_and_skipped(root: Path, change: dict, why: str) -> None:
    """Another program's, another table's, or without a column that makes it a row of this one."""
    rewrite(part(root, "trials"), **change)
    with pytest.warns(SkippedFileWarning, match=why):
        assert len(results.trials(root)) == 5


def test_a_column_of_another_type_is_named(root: Path) -> None:
    """Text where a number belongs is not turned into a missing one."""
    table = pq.ParquetFile(part(root, "trials")).read()
    place = table.column_names.index("temperature")
    pq.write_table(table.set_column(place, "temperature", pa.array(["hot"] * 5)), part(root, "trials"))
    with pytest.warns(SkippedFileWarning, match=r"has a column of another type .*hot"):
        assert len(results.trials(root)) == 5


def test_files_that_lie_about_are_named(root: Path) -> None:
    """Notes and copies beside the partitions are nobody's rows; hidden files are not looked at."""
    for name in ("notes.txt", "space=temperature/old.parquet", ".DS_Store", "space=temperature/_tmp/x.parquet"):
        file = root / "trials" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("?")
    with pytest.warns(SkippedFileWarning) as told:
        assert len(results.trials(root)) == 10
    assert len(told) == 2 and "space=…/run=…" in str(told[0].message)
    assert {str(warning.filename) for warning in told} == {__file__}, "the warning points at who asked"
    assert len(results.trials(root, runs=["temperature-made-0000"])) == 5  # without a word: they are not of that run


def test_a_run_does_not_go_on_over_a_file_that_cannot_be_read(root: Path) -> None:
    """To skip it would be to lose the trials that are in it."""
    part(root, "trials").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"temperature-made-0000 cannot go on: .*part-0.parquet is damaged"):
        RunTables(root, "temperature", "temperature-made-0000")


# Beside a slow reference


@pytest.mark.parametrize("table", ["runs", "trials", "epochs"])
def test_the_tables_are_what_pyarrows_dataset_reads(root: Path, table: str) -> None:
    """Row by row and type by type, with the partitions in front; a null of the configuration is its default."""
    schema = pa.schema([*PARTITIONS, *SCHEMAS[table]])
    partitioning = ds.partitioning(PARTITIONS, flavor="hive")
    plain = ds.dataset(root / table, schema, "parquet", partitioning=partitioning).to_table()
    for name, default in DEFAULTS.get(table, {}).items():
        cells = [default if cell is None else cell for cell in plain[name].to_pylist()]
        plain = plain.set_column(schema.names.index(name), schema.field(name), pa.array(cells, schema.field(name).type))
    ours = reading.read_table(Store.at(root), table)
    assert ours.schema.equals(schema) and ours.sort_by("run").equals(plain.sort_by("run"))
