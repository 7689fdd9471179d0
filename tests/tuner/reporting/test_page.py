"""The page of a run: it stands alone, shows everything, says what to do, and is made of whatever state a run is in."""

from __future__ import annotations

import dataclasses
import html
import re
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from benchmarks import browser
from benchmarks.made_run import RUN, Shape, make_run
from tuner import report
from tuner.reporting import sections
from tuner.reporting.figures.timeline import pauses, worked_s
from tuner.reporting.figures.wrong_pairs import Images, images_of, most_wrong
from tuner.reporting.page import html_of, page_or_reason
from tuner.results.one_run import WholeRun
from tuner.results.writer import RunTables

SMALL = Shape(trials=24, epochs=4, identities=12, image_size_px=16)
USED = browser.find()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made run of 24 trials: the folder that holds its pairs and its results."""
    folder = tmp_path_factory.mktemp("made")
    make_run(folder, SMALL)
    return folder


@pytest.fixture(scope="module")
def run(made: Path) -> WholeRun:
    return WholeRun.read(str(made / "results"), RUN)


@pytest.fixture(scope="module")
def page(made: Path) -> Path:
    """Its page, made by the command."""
    to = made / "page of it.html"
    assert report.main([RUN, "--results", str(made / "results"), "--to", str(to)]) == 0
    return to


def again(run: WholeRun) -> Images:
    """The run's images as the command reads them."""
    return images_of(run, Console(quiet=True))


def text_of(run: WholeRun) -> str:
    """The words of its page."""
    return words_of(html_of(run, again))


def words_of(page: str) -> str:
    """Its words, without markup, style and script."""
    bare = re.sub(r"<(style|script|svg).*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", bare)).split())


@pytest.mark.skipif(USED is None, reason="no browser of the Chromium family is installed")
@pytest.mark.parametrize(("width", "dark"), [(1366, False), (820, True)])
def test_a_browser_draws_every_section_and_complains_of_nothing(page: Path, width: int, dark: bool) -> None:
    """Figures have marks and a size, pictures are there, nothing is wider than the window, the colours follow the system."""
    seen = browser.opened(USED, page, width, dark)
    assert seen.console == []
    shown = dict(seen.seen["sections"])
    assert list(shown) == ["answers", *sections.TITLES]
    assert all(len(text.split()) > 5 for text in shown.values())
    assert len(seen.seen["figures"]) >= 15
    shown = [figure for figure in seen.seen["figures"] if figure[1] > 0]  # of a figure with two forms one is shown
    assert len(shown) >= 15 and all(wide > 300 and high > 60 and marks > 0 for _, wide, high, marks in shown)
    assert len(seen.seen["pictures"]) >= 2 and set(seen.seen["pictures"]) == {SMALL.image_size_px}
    assert seen.seen["needed_width"] <= seen.seen["width"] == width
    red = int(re.findall(r"\d+", seen.seen["background"])[0])
    assert red < 60 if dark else red > 200
    assert seen.seen["lit"] > 5 and seen.seen["tip"].startswith("trial ")


def test_the_page_needs_nothing_from_elsewhere(page: Path) -> None:
    """No address of a network, no file beside it: pictures, style and script are in it."""
    text = page.read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", text)
    assert not re.findall(r"https?://|@import|url\(|fetch\(", text)


def test_the_page_of_200_trials_is_small(tmp_path: Path) -> None:
    """Far below the 8 MB that it may weigh: the figures are drawn by the page's own markup, not by a library in it."""
    make_run(tmp_path, Shape(trials=200, identities=24, image_size_px=16))
    text = html_of(WholeRun.read(str(tmp_path / "results"), RUN), again)
    assert text.count("data-t=") > 200 * 8
    assert len(text.encode()) < 1e6


def test_the_command_prints_where_the_page_is(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --to it is named for the run, below the results."""
    assert report.main([RUN, "--results", str(made / "results")]) == 0
    assert capsys.readouterr().out.strip() == str(made / "results" / "reports" / f"{RUN}.html")
    assert Path(made, "results", "reports", f"{RUN}.html").read_text().startswith("<!doctype html>")


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """The made run's results, to be changed."""
    shutil.copytree(made / "results", tmp_path / "results", ignore=shutil.ignore_patterns("reports"))
    return tmp_path / "results"


def changed(root: Path, **row: object) -> WholeRun:
    """The run with another row."""
    RunTables(root, "joint", RUN).write_run(row)
    return WholeRun.read(str(root), RUN)


TESTED = ("test_accuracy_winner", "test_accuracy_default", "test_difference", "test_difference_solved")


def test_a_long_pause_is_left_out_of_the_timeline() -> None:
    """A run that was resumed the next day shows its trials, not the night; short waits stay."""
    begin_s, end_s = pd.Series([0.0, 100.0, 90_000.0]), pd.Series([90.0, 200.0, 90_100.0])
    (night,) = pauses(begin_s, end_s)
    assert (night.begin_s, night.end_s) == (200, 90_000)
    assert [worked_s(moment, [night]) for moment in (150.0, 200.0, 50_000.0, 90_000.0, 90_100.0)] == [
        150,
        200,
        200,
        200,
        300,
    ]


def test_an_interrupted_run_says_what_leads_and_how_to_go_on(copy: Path) -> None:
    """Nothing was tested: the leader is named as that, and the command that finishes the run is there to copy."""
    text = text_of(changed(copy, state="interrupted", winner_trial=None, **dict.fromkeys(TESTED)))
    assert "For now trial" in text and "Not sure yet." in text
    assert f"python -m tuner.run --resume {RUN} --results {copy}" in text
    assert "No test pairs were looked at" in text


def test_a_run_without_a_trial_has_a_page(copy: Path) -> None:
    """It was killed before the first trial ended."""
    for table in ("trials", "epochs", "scores"):
        shutil.rmtree(copy / table)
    text = text_of(changed(copy, state="running", winner_trial=None, trials_done=0, **dict.fromkeys(TESTED)))
    assert "None of these:" in text and "0 trials" in text and "No trial has ended." in text


def test_a_trial_that_ends_while_the_tables_are_read_does_no_harm(copy: Path) -> None:
    """Its epochs are written before its row is."""
    RunTables(copy, "joint", RUN).append_epochs([{"trial": 900, "epoch": 1, "objective": 0.5, "diagnoses": []}])
    assert "24 trials" in text_of(changed(copy, state="running"))


def test_a_run_of_one_trial_has_a_page(tmp_path: Path) -> None:
    """The default alone: it is what to use, and nothing is said of parameters that never varied."""
    make_run(tmp_path, Shape(trials=1, epochs=1, identities=8, image_size_px=16))
    text = text_of(WholeRun.read(str(tmp_path / "results"), RUN))
    assert "keep the default configuration" in text.lower() and "do not tell what a parameter does" in text


def test_a_run_in_which_all_failed_says_why(copy: Path) -> None:
    """No trial can win: the errors take the place of a recommendation."""
    tables = RunTables(copy, "joint", RUN)
    for row in tables.trial_rows():
        tables.append_trial(
            {"trial": row["trial"], "state": "failed", "is_default": row["trial"] == 0, "error": "OSError: disk"}
        )
    run = changed(copy, state="failed", winner_trial=None, error="all trials: OSError: disk", **dict.fromkeys(TESTED))
    text = text_of(run)
    assert run.leader is None and "None of these:" in text and "OSError: disk" in text
    assert "No trial can win, so there are no scores to show." in text


def test_what_others_wrote_is_text_and_never_markup(copy: Path) -> None:
    """A data set's name, a space's docstring or an error cannot put a script into the page."""
    evil = "<script>alert(1)</script>\"'&</style>"
    RunTables(copy, "joint", RUN).append_trial({"trial": 900, "state": "failed", "error": evil, "node": evil})
    source = f'''"""{evil.replace('"', "")}"""'''
    run = changed(copy, question=evil, command=evil, data=evil, backbone=evil, space_source=source, state="interrupted")
    page = html_of(run, again)
    assert page.count("<script>") == 1 and page.count("</script>") == 1 and page.count("</style>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_other_images_than_the_run_saw_are_not_shown(copy: Path, made: Path, tmp_path: Path) -> None:
    """A pair table that is gone, or whose images were changed, is said in place of its pictures; the rest is there."""
    moved = tmp_path / "pairs"
    shutil.copytree(made / "pairs", moved)
    shutil.copy(moved / "front-1.png", moved / "front-2.png")
    text = text_of(changed(copy, data=str(moved / "pairs.csv")))
    assert "is not what the run" in text and "images differ" in text and "Difference" in text
    assert "there is no" in text_of(changed(copy, data=str(tmp_path / "gone.csv")))


def test_the_pairs_shown_are_those_farthest_from_where_they_belong(run: WholeRun) -> None:
    """Of the negative pairs the highest scores from the threshold on, of the positive ones the lowest below it."""
    scores, threshold = run.scores[run.leader], 0.1
    for positive in (True, False):
        found = most_wrong(scores, threshold, positive)
        own = scores[scores.pair_label == int(positive)].score.astype(float)
        wrong = sorted(own[own < threshold] if positive else own[own >= threshold], reverse=not positive)
        assert found.score.astype(float).tolist() == wrong[:6]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nonsense"], "no run 'nonsense'.*joint-made"), ([RUN, "--to", "FOLDER"], "cannot be written")],
)
def test_mistakes_are_told_with_exit_code_2(
    made: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """An unknown run is answered with the known ones, a place that is no file with what to give."""
    given = [str(made) if word == "FOLDER" else word for word in arguments]
    assert report.main([*given, "--results", str(made / "results")]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_tables_that_cannot_be_read_are_told_with_exit_code_2(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged file is named, and nothing is written."""
    (file,) = (copy / "trials").rglob("*.parquet")
    file.write_bytes(b"no Parquet")
    assert report.main([RUN, "--results", str(copy)]) == 2
    assert re.search(f"cannot be read: {file} is damaged or no Parquet file .*: remove it", capsys.readouterr().err)
    assert not (copy / "reports").exists()


def test_a_table_that_is_gone_is_told_and_a_foreign_file_beside_it_is_skipped(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page without the trials would say that there was none; a stray file hides nothing of a run."""
    (file,) = (copy / "trials").rglob("*.parquet")
    (file.parent / "notes.parquet").write_bytes(b"no Parquet")
    assert report.main([RUN, "--results", str(copy)]) == 0
    told = capsys.readouterr().err
    assert re.fullmatch(r"warning: .*/notes.parquet is damaged or no Parquet file .*It is skipped.\n", told)
    file.unlink()
    assert report.main([RUN, "--results", str(copy)]) == 2
    assert re.search(r"has ended \d+ trials, and their table is not in", capsys.readouterr().err)


def test_a_page_that_cannot_be_made_costs_the_run_nothing(copy: Path) -> None:
    """At the end of a run the reason takes the place of the path, with the command that tries again."""
    (copy / "reports").write_text("a file where the folder should be")
    reason = page_or_reason(str(copy), RUN, None)
    assert reason.startswith("not made, ") and f"python -m tuner.report {RUN}" in reason


def test_the_same_tables_give_the_same_page(run: WholeRun, page: Path) -> None:
    """Byte for byte, whoever asks."""
    assert html_of(run, again) == page.read_text()


def test_the_page_shows_the_winners_retrieval(run: WholeRun, page: Path, copy: Path) -> None:
    """Recall, mAP and the CMC curve of its epoch; of a run of an older program it says that they are unknown."""
    shown = page.read_text()
    text = words_of(shown)
    assert f"recall at 1 {run.value(run.leader, 'val_recall_at_1'):.3g}" in text and "mAP " in text
    assert 'aria-label="cumulative match characteristic"' in shown
    (file,) = (copy / "epochs").rglob("*.parquet")
    pq.write_table(pq.read_table(file).drop_columns(["val_cmc", "val_queries"]), file)
    assert "Unknown: of fronts" in text_of(WholeRun.read(str(copy), RUN))


def test_the_page_says_how_far_probabilities_can_be_trusted(run: WholeRun, page: Path) -> None:
    """A reliability figure and its error in words; and the rates at the threshold, with the purpose it was solved for."""
    shown = page.read_text()
    text = words_of(shown)
    assert re.search(r"threshold 0\.\d+ for accuracy: TAR 0\.\d+ at FAR 0\.\d+; TAR 0\.\d+ at FAR 0\.1", text)
    assert re.search(r"off by 0\.\d+ on average \(expected calibration error, 10 bins\)", text)
    assert 'aria-label="reliability"' in shown and "(TAR, FAR)" in text and "It was solved for" not in text
    other = dataclasses.replace(run, row=run.row | {"threshold_for": "far=0.1"})
    assert re.search(r"It was solved for far=0\.1, with a 95 % interval from -?0\.\d+ to", text_of(other))


@pytest.mark.skipif(USED is None, reason="no browser of the Chromium family is installed")
@pytest.mark.parametrize(("width", "dark"), [(360, False), (420, True), (768, False), (1400, True)])
def test_the_page_fits_every_screen_and_can_be_read(page: Path, width: int, dark: bool) -> None:
    """Nothing is wider than the screen but in a box that scrolls, and every text is 11 px or more, in figures too."""
    found = browser.measured(USED, page, width, dark)
    assert found["width"] == width and found["needed_width"] <= width
    assert found["outside"] == []
    assert len(found["texts"]) > 300 and len(found["figures"]) >= 15
    assert [text for text in found["texts"] if text[0] < 10.99] == []
    red = int(re.findall(r"\d+", found["background"])[0])
    assert red < 60 if dark else red > 200


def test_the_space_s_range_stands_beside_what_was_tried(page: Path) -> None:
    """And of a run that did not write it down it is unknown."""
    text = words_of(page.read_text())
    assert "the space gives tried from to default" in text and "1e-05 to 0.1, logarithmic" in text and "unknown" in text


def test_trials_beyond_those_asked_for_are_counted_apart(run: WholeRun) -> None:
    """At the head of the page, as in the live table."""
    before = len(run.trials)
    favoured = run.trials.threshold_source.astype(object).where(run.trials.trial < before - 2, "favoured")
    text = text_of(dataclasses.replace(run, trials=run.trials.assign(threshold_source=favoured)))
    assert f"{before - 2} trials (" in text and " + 2 at favoured thresholds, ranked by" in text


def test_a_page_of_a_run_that_goes_on_loads_itself_again(run: WholeRun) -> None:
    """Where that is asked for; the one that a run ends with does not."""
    assert '<meta http-equiv="refresh" content="5">' in html_of(run, again, 5)
    assert "http-equiv" not in html_of(run, again)
