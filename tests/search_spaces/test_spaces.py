"""The spaces: every one, also a user's own, suggests valid configurations, the same for the same seed."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

import search_spaces
from search_spaces import SpaceError
from trainable.config import TrialConfig
from trainable.errors import InputError

PROJECT = Path(__file__).parents[2]
BUILT_IN = ["freezing", "joint", "learning_rate", "temperature", "threshold"]

OWN_SPACE = '''"""Does a wider embedding want a higher temperature?"""

def suggest(trial):
    size = 2 ** trial.suggest_int("size_exponent", 5, 8)
    return {"embedding_size": size, "temperature": trial.suggest_float("temperature", 0.02, 0.5), "hidden_size": 0}
'''


@pytest.fixture(params=[*BUILT_IN, "own"])
def space(request: pytest.FixtureRequest, tmp_path: Path) -> search_spaces.SearchSpace:
    """Each space that comes with the project, and one as a user would write it."""
    if request.param != "own":
        return search_spaces.load(request.param)
    return own(tmp_path, OWN_SPACE)


def own(folder: Path, text: str) -> search_spaces.SearchSpace:
    """A user's space with this text."""
    path = folder / "wide.py"
    path.write_text(text, encoding="utf-8")
    return search_spaces.load(path)


def check(space: search_spaces.SearchSpace, blocks: int = 4) -> None:
    """What a run checks before it starts: all that the space can ask for is a valid configuration."""
    probe = space.probe(blocks)
    for configuration in [*probe.configurations, *(corner.configuration for corner in probe.corners)]:
        TrialConfig.of(configuration)


# What every space must do


def test_a_space_asks_a_question(space: search_spaces.SearchSpace) -> None:
    """The docstring's first paragraph is the question, on one line; the file's text is kept with it."""
    assert space.question.endswith("?") and "\n" not in space.question
    assert space.question.split()[0] in space.source.splitlines()[0]
    assert Path(space.path).read_text(encoding="utf-8") == space.source


@pytest.mark.parametrize("blocks", [1, 4, 12])
def test_a_space_suggests_valid_configurations(space: search_spaces.SearchSpace, blocks: int) -> None:
    """At random and at both ends of every range, all names are parameters and all values lie in their ranges."""
    probe = space.probe(blocks, count=200)
    assert len(probe.configurations) == 200
    assert {corner.parameter for corner in probe.corners} == set(probe.distributions)
    for configuration in [*probe.configurations, *(corner.configuration for corner in probe.corners)]:
        config = TrialConfig.of(configuration)
        assert config.trainable_blocks is None or config.trainable_blocks <= blocks


def test_a_space_asks_for_the_backbone_rate_only_where_something_is_trained(space: search_spaces.SearchSpace) -> None:
    """`backbone_lr_ratio` does nothing without a trained block, so a search that varied it there would learn noise."""
    asked = space.probe(3, count=100).configurations
    for configuration in asked:
        if "trainable_blocks" in configuration:
            assert ("backbone_lr_ratio" in configuration) == (configuration["trainable_blocks"] > 0)
        else:
            assert "backbone_lr_ratio" not in configuration


def test_a_space_suggests_the_same_for_the_same_seed(space: search_spaces.SearchSpace) -> None:
    """Nothing but the trial decides what is suggested."""
    one, same, other = (space.probe(4, seed=seed).configurations for seed in (3, 3, 4))
    assert one == same != other


def test_a_space_survives_pickling(space: search_spaces.SearchSpace, tmp_path: Path) -> None:
    """Ray keeps the searcher with its space on disk; coming back needs no file, which may have moved or changed."""
    sent = pickle.dumps(space)
    if Path(space.path).is_relative_to(tmp_path):
        Path(space.path).unlink()
    back = pickle.loads(sent)
    assert (back.name, back.question, back.source, back.path) == (space.name, space.question, space.source, space.path)
    assert back.probe(4).configurations == space.probe(4).configurations


# The built-in spaces


def test_the_names_are_the_questions_of_the_project() -> None:
    """One file, one name."""
    assert search_spaces.names() == BUILT_IN


def test_the_joint_space_joins_the_ranges_of_the_others() -> None:
    """It spells them out, so that it can be copied; they must not drift apart. The temperature's is cut above 1."""
    singles = {}
    for name in ("learning_rate", "temperature", "threshold", "freezing"):
        singles |= search_spaces.load(name).probe(6).distributions
    singles["temperature"] = optuna.distributions.FloatDistribution(singles["temperature"].low, 1.0, log=True)
    assert search_spaces.load("joint").probe(6).distributions == singles


def test_freezing_reaches_from_the_head_alone_to_the_whole_backbone() -> None:
    """Every number of blocks is asked for, 0 and all included."""
    found = {c["trainable_blocks"] for c in search_spaces.load("freezing").probe(3, count=60).configurations}
    assert found == {0, 1, 2, 3}


def test_naming_the_spaces_does_not_wait_for_optuna() -> None:
    """`--help` needs the names and must answer in under a second."""
    code = "import search_spaces, sys; search_spaces.names(); assert 'optuna' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT)


# A user's own space


def test_a_returned_dictionary_is_the_configuration(tmp_path: Path) -> None:
    """Constants in it count; a parameter that is only a step towards a value is not part of the configuration."""
    trial = optuna.trial.FixedTrial({"size_exponent": 5, "temperature": 0.1})
    found = own(tmp_path, OWN_SPACE).suggest(trial, 4)
    assert found == {"embedding_size": 32, "temperature": 0.1, "hidden_size": 0}


def test_without_a_returned_dictionary_the_suggested_parameters_are_the_configuration(tmp_path: Path) -> None:
    """A function that only suggests, as Ray's documentation has them, works too."""
    space = own(tmp_path, "def suggest(trial):\n    trial.suggest_float('temperature', 0.1, 0.2)\n")
    assert space.suggest(optuna.trial.FixedTrial({"temperature": 0.15}), 4) == {"temperature": 0.15}


def test_a_space_without_a_docstring_says_how_to_ask(tmp_path: Path) -> None:
    """The question is missing, not empty: reports show what to do."""
    assert own(tmp_path, "def suggest(trial): ...").question == "(not stated: give wide.py a docstring that asks it)"


def test_the_ends_of_ranges_are_tried_where_they_can_be_reached(tmp_path: Path) -> None:
    """A range that depends on an earlier parameter is tried with that parameter; later ones stay free to follow."""
    text = """def suggest(trial):
    low = trial.suggest_float("low", 0.1, 0.5)
    temperature = trial.suggest_float("temperature", low, 0.6)
    return {"temperature": temperature, "seed": trial.suggest_categorical("seed", [1, 2])}
"""
    corners = own(tmp_path, text).probe(4, count=3).corners
    assert {(c.parameter, c.bound) for c in corners} >= {("low", 0.1), ("low", 0.5), ("seed", 1), ("seed", 2)}
    assert all(c.configuration[c.parameter] == c.bound for c in corners if c.parameter != "low")
    assert all(0.1 <= c.configuration["temperature"] <= 0.6 for c in corners)


@pytest.mark.parametrize(
    ("suggestion", "message"),
    [
        ("{'temperature': trial.suggest_float('temperature', 0.0, 1)}", "temperature is 0.0; valid is a number"),
        ("{'temperature': trial.suggest_float('temperature', -1.0, 1)}", "temperature is -"),
        ("{'threshold': trial.suggest_float('threshold', 0, 1.001)}", "threshold is 1.001; valid is a cosine from -1"),
        ("{'epochs': trial.suggest_categorical('epochs', [1, 0])}", "epochs is 0"),
        ("{'learning_rate': 1 - trial.suggest_float('x', 0, 1)}", "learning_rate is 0.0"),
        ("{'temprature': 0.1}", "no parameter 'temprature'; valid parameters are: learning_rate, temperature"),
        ("None if trial.suggest_float('depth', 0, 1) < 2 else {}", "no parameter 'depth'"),
    ],
)
def test_a_space_that_reaches_an_invalid_value_is_found_before_it_runs(
    tmp_path: Path, suggestion: str, message: str
) -> None:
    """Also a range whose end alone is invalid, which random trials would hardly ever meet."""
    with pytest.raises(InputError, match=message):
        check(own(tmp_path, f"def suggest(trial):\n    return {suggestion}\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def suggest(trial):\n    return {'temperature': }\n", "is not Python, line 2: .*Correct it"),
        ("x = '\0'", "is not Python, .*null bytes"),
        ("import no_such_module\n", "fails when it is read, line 1: ModuleNotFoundError: .*no_such_module"),
        ("def propose(trial): ...", r"has no function suggest; valid is suggest\(trial\), or suggest\(trial, blocks\)"),
        ("suggest = 3", "has no function suggest"),
        ("def suggest(): ...", r"has suggest\(\); valid is suggest\(trial\)"),
        ("def suggest(trial, depth): ...", r"has suggest\(trial, depth\); valid is"),
    ],
)
def test_a_file_that_is_no_space_says_what_is_wrong_with_it(tmp_path: Path, text: str, message: str) -> None:
    """The message names the line or the function, what is valid, and what to do."""
    with pytest.raises(SpaceError, match=message):
        own(tmp_path, text)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 0.5", "returned 0.5; valid is a dictionary"),
        ("return {1: 2}", "returned {1: 2}; valid is a dictionary"),
        ("return {'temperature': trial.suggest_float('t', 0, 1, log=True)}", "line 2: ValueError: .*low"),
        ("raise KeyError('gone')", "fails when asked, line 2: KeyError: 'gone'"),
    ],
)
def test_a_space_that_fails_when_asked_says_where(tmp_path: Path, body: str, message: str) -> None:
    """What the user's code raises comes with its line, before a run starts."""
    space = own(tmp_path, f"def suggest(trial):\n    {body}\n")
    with pytest.raises(SpaceError, match=message):
        space.probe(4)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    """With those that look like it, and with the other way to give a space."""
    with pytest.raises(SpaceError, match=r"no space 'temprature'. Did you mean temperature\?.*freezing, joint.* \.py"):
        search_spaces.load("temprature")
    with pytest.raises(SpaceError, match=r"no space 'zzz'. Valid spaces are"):
        search_spaces.load("zzz")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.py", "is not a file"),
        ("folder.py", "is not a file"),
        ("space.txt", "does not end in .py"),
        ("1.py", "no letter in its name"),
        ("latin.py", "cannot be read: .*utf-8"),
    ],
)
def test_a_path_that_is_no_python_file_is_refused(tmp_path: Path, name: str, message: str) -> None:
    """Missing, a folder, another kind of file, a name that cannot name results, or not text."""
    (tmp_path / "folder.py").mkdir()
    for file in ("space.txt", "1.py"):
        (tmp_path / file).write_text("def suggest(trial): ...")
    (tmp_path / "latin.py").write_bytes(b"# \xe9")
    with pytest.raises(SpaceError, match=message):
        search_spaces.load(tmp_path / name)


def test_probing_leaves_optunas_log_as_it_was(space: search_spaces.SearchSpace, capfd: pytest.CaptureFixture) -> None:
    """A check before a run prints nothing and silences nothing afterwards."""
    before = optuna.logging.get_verbosity()
    space.probe(4)
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr().err == ""
