"""The command line is its own documentation: what --help says, what is read, and what a resumed run takes over."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import search_spaces
from trainable import columns
from trainable.config import METRICS, TrialConfig
from trainable.errors import InputError
from tuner.cli.parsing import parse
from tuner.cli.process import exit_code
from tuner.cli.run_options import DEVICES, FEATURE_PRECISIONS, PRECISIONS, SAMPLERS, SCHEDULERS, RunOptions
from tuner.run import main

ROOT = Path(__file__).parents[3]
GROUPS = ("data", "model", "search", "configuration", "hardware", "output")


def read(*arguments: str) -> RunOptions:
    return parse(RunOptions, arguments, prog="tuner")


def option_names() -> list[str]:
    """Every option of the command, as a person types it."""
    options = RunOptions()
    names = [field.name for field in dataclasses.fields(options) if field.name not in GROUPS]
    for group in GROUPS:
        shown = getattr(options, group)
        hidden = columns.hidden(type(shown))
        names += [field.name for field in dataclasses.fields(shown) if field.name not in hidden]
    return [f"--{name.replace('_', '-')}" for name in names]


@pytest.fixture
def shown(capsys, monkeypatch) -> str:
    """What --help prints, without the frames around the groups and without indentation."""
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    lines = (line.strip("│| ") for line in capsys.readouterr().out.splitlines())
    return "\n".join(line for line in lines if re.search(r"\w", line))


def test_help_explains_every_option(shown):
    """Each option is there with a sentence of its own; so is each choice; and the command to start with."""
    explained = {part.split()[0]: " ".join(part.split()[1:]) for part in re.split(r"^(?=--)", shown, flags=re.M)[1:]}
    assert sorted(explained) == sorted(option_names())
    for name, text in explained.items():
        assert re.search(r"\w+ \w+ \w+.*\. ?(\(default: |$|\(repeatable)", text), f"{name} is not explained: {text!r}"
    choices = {"--sampler": SAMPLERS, "--scheduler": SCHEDULERS, "--metric": METRICS, "--device": DEVICES}
    choices |= {"--precision": PRECISIONS, "--feature-precision": FEATURE_PRECISIONS}
    for name, valid in choices.items():
        assert all(choice in explained[name] for choice in valid), name
    assert "python -m tuner.run --space temperature" in shown


def test_help_says_once_what_none_does(shown):
    """Not that it is the default, too; a default that a file gives is told."""
    told = re.split(r"^(?=--)", shown, flags=re.M)
    assert not [option for option in told if "; none: " in option and "(default: none)" in " ".join(option.split())]
    assert len([option for option in told if "; none: " in " ".join(option.split())]) >= 9


def test_help_has_titled_groups(shown):
    """Every group has its title and says what it is about, in the words of a person who runs the command."""
    for group in GROUPS:
        assert re.search(rf"^\W*{group} options\W*$", shown, re.M)
    assert "What a space leaves fixed." in shown
    for inner in ("InputError", "{None}", "None", "RunOptions", "__"):
        assert inner not in shown, inner


def test_help_reads_no_heavy_library():
    """Torch, Ray, Optuna, pandas and NumPy wait until a run begins: that is why it answers at once."""
    code = (
        "import sys; from tuner.run import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print('read:', *{'torch', 'ray', 'optuna', 'pandas', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "read:"


def test_list_spaces_prints_each_question(capsys):
    """One line a space: its name and what it asks."""
    assert main(["--list-spaces"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == search_spaces.names()
    assert all(line.endswith("?") for line in lines)


def test_every_default_is_valid_and_survives_a_file():
    """The front door needs no option; options come back from JSON as they were, tuples included."""
    read().check()
    options = read("--input-mean", "0.5", "0.4", "0.3", "--threshold", "0.2", "--trials", "3")
    assert RunOptions.from_dict(json.loads(json.dumps(options.as_dict()))) == options


def test_none_can_be_said():
    """An option that may be absent can be set to none, as the help spells its default; weights have their own none."""
    options = read("--threshold", "none", "--input-std", "none", "--address", "none", "--weights", "none")
    assert options == RunOptions()
    assert read("--input-mean", "0.5", "0.5", "0.5").model.input_mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--trails", "3"], ["--trails", "--trials"]),
        (["temperature"], ["Unrecognized", "temperature"]),
        (["--epochs", "ten"], ["--epochs", "got 'ten'; valid is a whole number"]),
        (["--epochs", "1.5"], ["--epochs", "got '1.5'; valid is a whole number"]),
        (["--epochs"], ["--epochs", "Missing"]),
        (["--temperature", "nan"], ["--temperature", "got 'nan'; valid is a number"]),
        (["--time-budget-s", "inf"], ["--time-budget-s", "got 'inf'; valid is a number"]),
        (["--input-mean", "0.5", "0.5"], ["--input-mean"]),
        (["--input-mean", "0.5"], ["--input-mean", "got '0.5'; valid are 3 numbers"]),
    ],
)
def test_what_cannot_be_read_is_named(capsys, monkeypatch, arguments, parts):
    """An unknown option is answered with those like it, a wrong value with what is valid; both with exit code 2."""
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    assert ended.value.code == 2 and out == ""
    for part in (*parts, "--help"):
        assert part in err, err


def test_a_resumed_run_keeps_its_options():
    """What is given anew replaces what was saved; what is not given, and where results lie, does not."""
    began = read("--space", "joint", "--epochs", "3", "--trials", "4", "--results", "here")
    resumed = began.resumed_with(read("--resume", "r", "--trials", "9", "--results", "../here"))
    assert (resumed.space, resumed.configuration.epochs, resumed.search.trials) == ("joint", 3, 9)
    assert resumed.output.results == "../here"


@pytest.mark.parametrize(
    ("given", "had"),
    [
        (["--epochs", "5"], "--epochs 3"),
        (["--metric", "val_accuracy"], "--metric val_auc"),
        (["--backbone", "test_resnet"], "--backbone test_byobnet"),
        (["--image-size-px", "32"], "--image-size-px none"),
        (["--views", "3"], "--views 1"),
        (["--fit", "pad"], "--fit squash"),
    ],
)
def test_a_resumed_run_does_not_mix_what_cannot_be_compared(given, had):
    """Trials of a run are ranked against each other, so that another metric, model or training is a new run."""
    with pytest.raises(InputError, match=f"begun with {had}.*start a new run"):
        read("--epochs", "3").resumed_with(read("--resume", "r", *given))


def test_a_run_saved_before_there_was_a_fit_was_squashed():
    """Its file has no such option, and it goes on as it was."""
    saved = read("--epochs", "3").as_dict()
    del saved["data"]["fit"]
    assert RunOptions.from_dict(saved).resumed_with(read("--resume", "r")).data.fit == "squash"


def test_whole_numbers_of_a_space_are_whole():
    """suggest_float with a step gives 64.0, which is a width all the same."""
    assert repr(TrialConfig(embedding_size=64.0).embedding_size) == "64"


def test_a_reader_that_goes_away_is_no_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """As in `--help | head`: exit code 141, without a traceback, now or when Python ends and empties its buffers."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as gone:  # noqa: PTH123 - it has no path
        monkeypatch.setattr(sys, "stdout", gone)
        assert main(["--help"]) == 141
        monkeypatch.undo()
    assert capsys.readouterr().err == ""


def test_another_broken_pipe_is_an_error() -> None:
    """Such as of a connection: it is not taken for a reader that has what it wanted."""

    @exit_code
    def broken(arguments):
        raise BrokenPipeError("of a connection")

    with pytest.raises(BrokenPipeError, match="of a connection"):
        broken()
