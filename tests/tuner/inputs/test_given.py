"""A function as a space and a frame as pairs, kept as files."""

from __future__ import annotations

import math
from pathlib import Path

import optuna
import pandas as pd
import pytest

import search_spaces
from trainable.errors import InputError
from tuner.inputs.given import data_option, kept_folder, space_option

LOWEST, KINDS, STRANGE = 0.05, ("a", "b"), object()


def gentle(trial: optuna.Trial, blocks: int) -> dict[str, float]:
    """Is a gentle temperature better?

    It is.
    """
    return {"temperature": trial.suggest_float("temperature", LOWEST, math.sqrt(blocks) * len(KINDS))}


def strange(trial: optuna.Trial) -> dict[str, object]:
    """No question."""
    return {"temperature": STRANGE}


def test_a_function_is_kept_as_a_space_that_suggests_the_same(tmp_path: Path):
    """With what it uses from outside; its name is the space's, its docstring asks the question."""
    space = search_spaces.load(space_option(gentle, tmp_path))
    assert (space.name, space.question) == ("gentle", "Is a gentle temperature better?")
    fixed = optuna.trial.FixedTrial({"temperature": 0.3})
    assert space.suggest(fixed, 4) == gentle(fixed, 4) == {"temperature": 0.3}
    assert fixed.distributions["temperature"].low == LOWEST and fixed.distributions["temperature"].high == 4.0


def test_a_function_inside_of_another_keeps_what_it_uses_of_it(tmp_path: Path):
    """And a file of its own whenever that differs."""
    paths = []
    for highest in (0.5, 1.0):

        def suggest(trial: optuna.Trial) -> dict[str, float]:
            return {"temperature": trial.suggest_float("temperature", 0.05, highest)}  # noqa: B023

        paths.append(space_option(suggest, tmp_path))
        assert search_spaces.load(paths[-1]).probe(4).distributions["temperature"].high == highest
        assert space_option(suggest, tmp_path) == paths[-1], "the same function, the same file"
    assert paths[0] != paths[1]


def test_what_cannot_be_kept_is_refused(tmp_path: Path):
    """With what is in the way."""
    with pytest.raises(InputError, match="strange uses STRANGE, <object"):
        space_option(strange, tmp_path)
    with pytest.raises(InputError, match="source of made is not known"):
        exec("def made(trial): return {}", made := {})
        space_option(made["made"], tmp_path)
    with pytest.raises(InputError, match="of type int"):
        space_option(3, tmp_path)


def test_names_and_paths_stay_what_they_are(tmp_path: Path):
    """Nothing is written for them."""
    assert space_option("joint", tmp_path) == data_option("joint", tmp_path) == "joint"
    assert data_option(Path("pairs.csv"), tmp_path) == "pairs.csv"


def test_a_frame_is_kept_with_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As the file lies elsewhere than the notebook; bytes and addresses stay. The same rows have the same file."""
    monkeypatch.chdir(tmp_path)
    pairs = pd.DataFrame({"front": ["a.png", "/b.png"], "angle": [b"1", None], "pair_label": [1, 0]}, index=[5, 7])
    path = data_option(pairs, tmp_path / "inputs")
    kept = pd.read_parquet(path)
    assert kept.front.tolist() == [str(tmp_path / "a.png"), "/b.png"]
    assert kept.angle.tolist() == [b"1", None] and kept.pair_label.tolist() == [1, 0]
    assert data_option(pairs, tmp_path / "inputs") == path != data_option(pairs.head(1), tmp_path / "inputs")
    assert pairs.front[5] == "a.png", "the frame is left as it was"


def test_a_frame_that_is_no_table_is_refused(tmp_path: Path):
    """Here a column of two types."""
    with pytest.raises(InputError, match="cannot be written as a table"):
        data_option(pd.DataFrame({"front": ["a"], "odd": [object()]}), tmp_path)


def test_files_are_kept_with_the_results_where_those_are_here(tmp_path: Path):
    """Else in the cache."""
    assert kept_folder(str(tmp_path), None) == tmp_path / "inputs"
    assert kept_folder("s3://bucket/results", str(tmp_path)) == tmp_path / "inputs"
