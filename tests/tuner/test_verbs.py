"""`python -m tuner` and the command `twoview`: the verbs by name."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tuner import __main__ as verbs

ROOT = Path(__file__).parents[2]


def test_the_verbs_are_listed():
    """Each with what it is for; without a word as with --help."""
    listed = subprocess.run([sys.executable, "-m", "tuner"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(f"  {verb} " in listed.stdout for verb in verbs.VERBS) and not listed.stderr


def test_every_door_is_a_verb():
    """A file in tuner/ with a main, and no other."""
    doors = {path.stem for path in (ROOT / "tuner").glob("*.py") if not path.stem.startswith("__")}
    assert doors - {"api"} == set(verbs.VERBS)


def test_a_verb_is_opened_with_its_own_words(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Exit code and output are the verb's."""
    monkeypatch.setattr(sys, "argv", [])
    assert verbs.main(["run", "--list-spaces"]) == 0
    assert "How sharp should the contrastive loss be?" in capsys.readouterr().out
    assert verbs.main(["compare", "--results", "nowhere"]) == 2


def test_a_verb_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]):
    """With those that there are, and the one that was meant."""
    assert verbs.main(["reprot"]) == 2
    assert "valid are: run, doctor" in (said := capsys.readouterr().err) and "perhaps report" in said


@pytest.mark.parametrize(
    ("line", "begun", "offered"),
    [
        ("twoview re", "re", ["report", "replay"]),
        ("twoview ", "", list(verbs.VERBS)),
        ("twoview compare --to", "--to", ["--to", "--top"]),
        ("twoview compare res", "res", []),
    ],
)
def test_bash_completes_verbs_and_options(monkeypatch: Any, capsys: Any, line: str, begun: str, offered: list[str]):
    """As `complete -C` asks: the line in the environment, the word as an argument. Where nothing fits, files do."""
    monkeypatch.setenv("COMP_LINE", line)
    assert verbs.main(["--complete", "twoview", begun, "twoview"]) == 0
    assert capsys.readouterr().out.split() == offered


def test_the_readme_has_the_line_that_bash_needs():
    """It calls the installed command with the option that answers."""
    text = (Path(verbs.__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert "`complete -o default -C 'twoview --complete' twoview`" in text


def test_the_command_is_installed_under_its_name():
    """pyproject.toml names a function that is there."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, name = scripts["twoview"].partition(":")
    assert callable(getattr(import_module(module), name))
