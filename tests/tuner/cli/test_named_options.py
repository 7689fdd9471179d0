"""Options by their names: of a TOML file, and of a call in Python."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainable import columns
from trainable.errors import InputError
from tuner.cli.named_options import from_names, named_options, read_config, write_config
from tuner.cli.parsing import parse
from tuner.cli.run_options import RunOptions
from tuner.run import main


def test_every_option_of_the_command_line_has_a_name_of_its_own(capsys: pytest.CaptureFixture[str]):
    """The same words with underscores; what belongs to a command alone is left out."""
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    options = named_options()
    assert not [name for name in options if f"--{name.replace('_', '-')}" not in said]
    groups = [getattr(RunOptions(), name) for name in ("data", "model", "search", "configuration", "hardware", "output")]
    fields = [f.name for group in groups for f in dataclasses.fields(group) if f.name not in columns.hidden(type(group))]
    assert len(fields) == len(set(fields)) and set(fields) <= set(options)


TEXTS = st.text("aé日𝕏\"\\ \n\t\r#=[]'/.1", max_size=12)


@settings(deadline=None, max_examples=50)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "data": TEXTS, "force": st.booleans(), "trials": st.integers(1, 10**6), "cache": st.none() | TEXTS,
            "learning_rate": st.floats(1e-9, 1.0), "threshold": st.none() | st.floats(-1, 1),
            "input_mean": st.none() | st.tuples(*[st.floats(0, 1)] * 3), "start_from": st.lists(TEXTS).map(tuple),
            "gpus_per_trial": st.none() | st.floats(0, 4), "trainable_blocks": st.none() | st.integers(0, 20),
        },
    )
)  # fmt: skip
def test_a_file_of_options_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, values: dict):
    """Whatever the options are, to the last digit and letter."""
    options = from_names(values)
    file = str(tmp_path_factory.mktemp("config") / "run.toml")
    write_config(options, file)
    assert read_config(file) == options


def test_the_command_line_counts_more_than_the_file(tmp_path: Path):
    """What only the file says holds, too; dashes in names are as good as underscores."""
    file = tmp_path / "run.toml"
    file.write_text('trials = 7\nlearning-rate = 1e-4\nthreshold = "none"\nstart_from = ["auto"]\n')
    options = parse(RunOptions, ["--trials", "9"], "run", default=read_config(str(file)))
    assert (options.search.trials, options.configuration.learning_rate) == (9, 1e-4)
    assert options.configuration.threshold is None and options.search.start_from == ("auto",)


def test_the_command_writes_its_options_and_reads_them_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Written before anything else happens, and so also where the run then has a mistake."""
    file, other = str(tmp_path / "run.toml"), str(tmp_path / "again.toml")
    assert main(["--space", "nowhere.py", "--trials", "3", "--save-config", file]) == 2
    assert main(["--config", file, "--epochs", "5", "--save-config", other]) == 2
    assert "nowhere.py" in capsys.readouterr().err
    again = read_config(other)
    assert (again.space, again.search.trials, again.configuration.epochs) == ("nowhere.py", 3, 5)
    assert again.config is None and again.save_config is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trails = 3", r"no option 'trails'. Perhaps trials.* Valid are: space, force"),
        ("trials = 3.5", "trials is 3.5; valid is a whole number"),
        ("trials = true", "trials is True; valid is a whole number"),
        ('force = "yes"', "valid is true or false"),
        ("space = 3", "valid is a text"),
        ("epochs = nan", "valid is a whole number"),
        ("input_mean = [0.5]", "valid is a list of 3 numbers or none"),
        ("learning_rate = -1.0", "learning_rate"),
        ("trials = ", "TOML"),
        ("[search]\ntrials = 3", "no option 'search'"),
    ],
)
def test_a_mistake_in_the_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str):
    """With what is valid, and exit code 2."""
    file = tmp_path / "run.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=said):
        read_config(str(file))
    assert main(["--config", str(file)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_file_that_is_not_there_is_told(tmp_path: Path):
    """To read, and to write."""
    with pytest.raises(InputError, match="cannot be read"):
        read_config(str(tmp_path / "none.toml"))
    with pytest.raises(InputError, match="cannot be written"):
        write_config(RunOptions(), str(tmp_path / "none" / "run.toml"))
