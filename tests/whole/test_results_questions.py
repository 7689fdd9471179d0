"""What docs/results.md tells a reader to ask of the results, asked: pandas and SQL give the same answers."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from benchmarks.made_results import make
from tuner.results.writer import RunTables

PAGE = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")


def block(title: str, language: str) -> str:
    """The code below a marker."""
    (found,) = re.findall(rf"<!-- {title} -->\n```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with five runs' results, in which the reader stands."""
    root = tmp_path / "results"
    make(root, runs=5, trials=25, epochs=3)
    random = np.random.default_rng(0)
    for folder in sorted((root / "runs").glob("*/*")):
        tables = RunTables(root, folder.parent.name.removeprefix("space="), folder.name.removeprefix("run="))
        for trial in range(2):
            labels, scores = np.arange(12) % 2, random.uniform(-1, 1, 12)
            columns = {"pair": np.arange(12), "score": scores, "pair_label": labels, "correct": (scores > 0) == labels}
            tables.write_scores(trial, columns | {"epoch": 1})
    monkeypatch.chdir(tmp_path)
    return root


def in_pandas() -> list[Any]:
    """The values of the block's expressions, in their order."""
    names: dict[str, Any] = {}
    values = []
    for statement in ast.parse(block("five questions in pandas", "python")).body:
        if isinstance(statement, ast.Expr):
            values.append(eval(compile(ast.Expression(statement.value), "README.md", "eval"), names))
        else:
            exec(compile(ast.Module([statement], []), "README.md", "exec"), names)
    return values


def in_sql() -> list[pd.DataFrame]:
    """The tables that the block's queries give."""
    with duckdb.connect() as connection:
        statements = connection.extract_statements(block("five questions in SQL", "sql"))
        answers = [connection.execute(statement).df() for statement in statements]
    return [answer for answer in answers if len(answer.columns) > 1]


def test_five_questions_have_one_answer_in_pandas_and_in_sql(here: Path) -> None:
    """Number by number, each of them in one or two lines."""
    winners, sicknesses, temperatures, curves, hard = in_pandas()
    sql = in_sql()
    assert dict(zip(sql[0].run, sql[0].trial, strict=True)) == dict(zip(winners.run, winners.trial, strict=True))
    assert len(winners) == 5
    assert dict(sql[1].to_numpy().tolist()) == sicknesses.to_dict() and sicknesses["collapsed"] > 0
    expected = temperatures.to_dict()
    assert dict(sql[2].to_numpy().tolist()) == pytest.approx(expected, nan_ok=True) and len(expected) > 5
    asked = sql[3].set_index(["run", "epoch"]).sort_index().to_numpy()
    assert np.allclose(asked.astype(float), curves.sort_index().to_numpy())
    assert sorted(sql[4].share) == pytest.approx(sorted(hard.tolist())) and len(hard) == 20


def test_every_question_is_a_line_or_two() -> None:
    """Of pandas and of SQL; the questions are the same in number."""
    for text, mark in (
        (block("five questions in pandas", "python"), "# "),
        (block("five questions in SQL", "sql"), "-- "),
    ):
        parts = re.split(rf"^{mark}\d\..*\n", text, flags=re.MULTILINE)[1:]
        assert len(parts) == 5 and all(1 <= len(part.strip().splitlines()) <= 2 for part in parts)
