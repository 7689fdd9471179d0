"""The schema follows from the declarations: a later column needs one, and no version."""

from __future__ import annotations

from dataclasses import make_dataclass

import pyarrow as pa
import pytest

from trainable import columns
from trainable.columns import column
from trainable.config import MEASURED, TrialConfig
from tuner.results import schema
from tuner.results.schema import DEFAULTS, SCHEMAS
from tuner.results.trial_record import TrialRecord


def test_a_declared_column_is_in_the_schema() -> None:
    """With type, unit and meaning, and null unless a row is found by it."""
    kinds = {"a": int, "b": float | None, "c": list[str], "d": dict[str, str], "e": bool}
    row = make_dataclass(
        "Row", [(name, kind, column(f"is {name}", "s", key=name == "a")) for name, kind in kinds.items()]
    )
    made = schema._schema("runs", columns.of(row).values())
    assert made.types == [
        pa.int64(),
        pa.float64(),
        pa.list_(pa.string()),
        pa.map_(pa.string(), pa.string()),
        pa.bool_(),
    ]
    assert [item.nullable for item in made] == [False, True, True, True, True]
    assert made.field("b").metadata == {b"description": b"is b", b"unit": b"s"}


@pytest.mark.parametrize("declared", [TrialConfig, TrialRecord])
def test_a_row_of_trials_has_all_that_a_trial_declares(declared: type) -> None:
    """Its configuration and what its record knows; and the measures of its best epoch."""
    assert {said.stored for said in columns.of(declared).values()} | set(MEASURED) <= set(SCHEMAS["trials"].names)


def test_no_column_is_there_twice() -> None:
    """Nor declared in two places, save for those that mean the configured and the measured side of the same."""
    for table in SCHEMAS.values():
        assert len(set(table.names)) == len(table.names)
    both = set(columns.of(TrialConfig)) & set(MEASURED)
    assert both == {"threshold"}, "given, or solved: the row holds the one that was used"


def test_every_parameter_that_has_a_default_has_it_for_older_rows() -> None:
    """None stands for itself."""
    plain = {said.stored: said.default for said in columns.of(TrialConfig).values()}
    assert DEFAULTS["trials"] == {name: value for name, value in plain.items() if value is not None}
