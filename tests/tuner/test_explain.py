"""python -m tuner.explain FILE, and doctor --log FILE, which asks the same."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tuner import doctor, explain

BROKEN = {"epoch": [1, 2, 3, 4], "contrastive_loss": [-13.5, -13.9, -14.0, -14.1], "temperature": [0.07] * 4}


@pytest.fixture
def log(tmp_path: Path) -> str:
    """Four epochs of the broken formula."""
    pd.DataFrame(BROKEN).to_csv(tmp_path / "log.csv", index=False)
    return str(tmp_path / "log.csv")


@pytest.mark.parametrize("where", ["before", "after"])
def test_the_verb_and_the_older_spelling_say_the_same(log, where, capsys):
    """--log FILE, --log=FILE and FILE, options before or after: one answer, one exit code."""
    options = ["--batch-size", "64", "--json"]
    spellings = [
        (main, [*options, *words] if where == "before" else [*words, *options])
        for main, words in ((explain.main, [log]), (doctor.main, ["--log", log]), (doctor.main, [f"--log={log}"]))
    ]
    said = []
    for main, words in spellings:
        code = main(words)
        said.append((code, json.loads(capsys.readouterr().out)["findings"]))
    assert said[0][0] == 1 and "broken-contrastive-formula" in {finding["check"] for finding in said[0][1]}
    assert said[1:] == said[:1] * 2


def test_a_healthy_log_exits_with_0(tmp_path, capsys):
    """Nothing fatal."""
    pd.DataFrame({"epoch": [1, 2, 3], "val_auc": [0.6, 0.8, 0.9]}).to_csv(tmp_path / "log.csv", index=False)
    assert explain.main([str(tmp_path / "log.csv")]) == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["nowhere.csv"], "there is no file nowhere.csv"), (["nowhere.csv", "--temperature", "0"], "--temperature is 0")],
)
def test_mistakes_exit_with_2(arguments, said, capsys):
    """And one message on stderr."""
    assert explain.main(arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("main", [explain.main, lambda words: doctor.main(["--log", *words])])
def test_a_log_must_be_named(main, capsys):
    """The usage is shown, exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "FILE" in capsys.readouterr().err
