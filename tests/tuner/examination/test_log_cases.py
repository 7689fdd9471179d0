"""The logs from practice that went wrong, handed over with what is right of each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainable.findings import OK
from tuner.doctor import main

CASES = Path(__file__).parents[4] / "shared" / "cases"
TABLE = CASES / "logs.tsv"
LISTED = [line.split("\t") for line in TABLE.read_text().splitlines()] if TABLE.is_file() else []
ROWS = [(name, options, right) for name, options, right in LISTED] + [
    ("lightning_nan", "", "silent"), ("trainer_state", "", "silent"), ("trainer_state_min", "", "silent"),
]  # fmt: skip


@pytest.mark.skipif(not TABLE.is_file(), reason="the shared cases are not here")
@pytest.mark.parametrize(("name", "options", "right"), ROWS)
def test_logs_from_practice_are_judged_right(capsys, name, options, right):
    """Silent: no warning. Fault: something fatal."""
    path = next(path for path in CASES.glob("logs/*") if path.stem == name)
    code = main(["--log", str(path), *options.split(), "--json"])
    verdicts = {finding["verdict"] for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert (code, verdicts) == (0, {OK}) if right == "silent" else code == 1
