"""One run as one HTML page that needs neither a network nor a server: the template filled in, and put in its place."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from trainable.errors import InputError
from tuner.analysis.importance import MIN_TRIALS, Effect, effects
from tuner.analysis.symptoms import symptoms_of
from tuner.analysis.text import number, plural
from tuner.reporting import answers, sections
from tuner.reporting.figures import scores as score_figures
from tuner.reporting.figures import trials as trial_figures
from tuner.reporting.figures.svg import element, symbol
from tuner.reporting.figures.timeline import timeline
from tuner.reporting.figures.wrong_pairs import Images, wrong_pairs
from tuner.results.one_run import WholeRun
from tuner.results.store import Store

ImagesOf = Callable[[WholeRun], Images]

_HERE = Path(__file__).parent
_LOOKS = ("winner", "default", "completed", "pruned", "sick", "failed")
_UNFINISHED = {
    "running": "This run is still going on: what is here are the trials that have ended.",
    "dead": "This run was killed: what is here are the trials that had ended. It can be gone on with.",
    "interrupted": "This run was interrupted: what is here are the trials that had ended.",
}


def write_page(root: str, name: str, images_of: ImagesOf, to: str | None = None, refresh_s: int | None = None) -> str:
    """Make the page of a run and put it in `to`, or in reports/RUN.html below the results; returns its path or URI.

    images_of: gives the run's images, or raises InputError if they are gone, which the page then says; refresh_s: a browser
    loads the page again after so many seconds. Raises InputError if
    there is no such run, or if its tables cannot be read or the page cannot be written.
    """
    content = html_of(WholeRun.read(root, name), images_of, refresh_s).encode()
    store = Store.at(root)
    try:
        if to is None:
            folder, file = store.path("reports"), f"{quote(name, safe='')}.html"
            store.write(folder, file, content)
            return store.uri_of(f"{folder}/{file}")
        path = Path(to).expanduser().resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return str(path)
    except OSError as error:
        raise InputError(
            f"the page cannot be written to {to or store.path('reports')}: {error}; valid is a file in a folder that you may "
            "write. Give another one with --to."
        ) from error


def page_or_reason(root: str, name: str, images: Images, refresh_s: int | None = None) -> str:
    """The path of the run's page, made now; or why there is none, as the results of a run stand without it."""
    try:
        return write_page(root, name, lambda run: images, refresh_s=refresh_s)
    except Exception as error:  # whatever it is: it is told, and the run ends as it would have ended
        return f"not made, {type(error).__name__}: {error}. The results are complete; python -m tuner.report {name} tries again"


def html_of(run: WholeRun, images_of: ImagesOf, refresh_s: int | None = None) -> str:
    """The page's text."""
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html").render(_content(run, images_of) | {"refresh_s": refresh_s})


def _content(run: WholeRun, images_of: ImagesOf) -> dict[str, Any]:
    """Everything that the template names."""
    symptoms = symptoms_of(run.records)
    found = effects(run.trials, metric=run.metric, searched=run.searched) if len(run.trials) else []
    told = any(effect.trials >= MIN_TRIALS for effect in found)
    return (
        {
            "run": run,
            "style": Markup((_HERE / "page.css").read_text(encoding="utf-8")),
            "script": Markup((_HERE / "page.js").read_text(encoding="utf-8")),
            "sections": sections.TITLES,
            "when": f"{run.row['started_at']:%Y-%m-%d %H:%M} UTC" if run.row["started_at"] else "at an unknown time",
            "counts": _counts(run),
            "unfinished": _UNFINISHED.get(run.row["state"]),
            "resume": answers.resume_command(run),
            "answers": answers.answers(run, symptoms),
            "looks": [look for look in _LOOKS if any(run.look(n) == look for n in run.trials.index)],
            "symbols": {look: element("svg", symbol(9, 9, look), viewBox="0 0 18 18") for look in _LOOKS},
            "curves": trial_figures.learning_curves(run),
            "parameters": trial_figures.parameters(run),
            "effects": sections.effect_rows(found),
            "effects_note": _effects_note(found),
            "importances": trial_figures.importances(found) if told else None,
            "parallel": trial_figures.parallel_coordinates(run),
            "diagnoses": sections.diagnosis_rows(symptoms),
            "timeline": timeline(run),
            "timeline_note": _timeline_note(run),
            "notes": trial_figures.trial_notes(run),
            "absent": _absent(run),
        }
        | {name: make(run) for name, make in sections.MADE.items()}
        | _scores(run, images_of)
    )


def _scores(run: WholeRun, images_of: ImagesOf) -> dict[str, Any]:
    """The sections that are about the leading trial's scores."""
    names = ("threshold", "histograms", "pairs", "shown_threshold", "probability")
    content: dict[str, Any] = dict.fromkeys(names)
    if not score_figures.scored(run):
        return content
    found = score_figures.threshold_of(run)
    content["threshold"] = {
        "text": _threshold_text(run, found),
        "accuracy": score_figures.accuracy_by_threshold(run),
        "roc": score_figures.roc(run),
        "default_too": score_figures.default_differs(run),
    }
    content["histograms"] = score_figures.histograms(run)
    content["shown_threshold"] = number(found.used)
    try:
        images = images_of(run)
    except InputError as error:
        return content | {"absent": _absent(run, f"The pictures cannot be shown: {error}")}
    trust = score_figures.reliability(run, (images.table.front_identity, images.table.angle_identity))
    if trust is not None:
        text = (
            "A logistic curve over the cosine gives the probability that two images show the same thing. Cross-fitted over "
            f"identities, it is off by {trust.error:.3f} on average (expected calibration error, {len(trust.pairs)} bins); its "
            f"Brier score is {trust.brier:.3f}. It holds where positive pairs are as frequent as in validation."
        )
        content["probability"] = {"text": text, "figure": score_figures.reliability_figure(trust)}
    titles = {False: "Different things that it takes for the same", True: "The same thing, not recognised"}
    content["pairs"] = [{"title": title, "pairs": wrong_pairs(run, images, label)} for label, title in titles.items()]
    return content


def _threshold_text(run: WholeRun, found: score_figures.Threshold) -> str:
    best, near = found.plateau, found.near
    kind = run.row["threshold_for"] or "accuracy"
    purpose = "" if kind == "accuracy" else f" It was solved for {kind}, with a 95 % interval from {found.interval}."
    return (
        f"On validation pairs trial {run.leader} tells {100 * found.accuracy:.1f} % right at the threshold that was used, "
        f"{number(found.used)}. The best is {100 * best.accuracy:.1f} %, from {number(best.low)} to {number(best.high)}; from "
        f"{number(near[0])} to {number(near[1])} at most one pair of a hundred more is told wrong. Of the positive "
        f"and of the negative pairs it accepts (TAR, FAR): {found.said}." + purpose
    )


def _absent(run: WholeRun, pairs: str | None = None) -> dict[str, str]:
    """What sections say that have nothing to show."""
    no_scores = "No trial can win, so there are no scores to show."
    checked = run.trials.diagnoses.notna().any() if len(run.trials) else False
    return {
        "winner": "No test pairs were looked at: the run has not come to its end, or no trial can win.",
        "scores": no_scores if run.leader is None else "The scores of the leading trial are not in the tables.",
        "retrieval": "Unknown: of fronts that have an angle view of the same thing, none was looked at.",
        "pairs": pairs or no_scores,
        "diagnoses": "Every trial was checked after every epoch, and nothing was found."
        if checked
        else "No trial was checked: none has finished an epoch.",
    }


def _counts(run: WholeRun) -> str:
    extra = len(run.trials) - len(run.asked)
    listed = ", ".join(f"{count} {state}" for state, count in run.asked.state.value_counts().items())
    counted = plural(len(run.asked), "trial") + (f" ({listed})" if listed else "")
    return counted + (f" + {extra} at favoured thresholds" if extra else "")


def _effects_note(found: list[Effect]) -> str:
    if all(effect.trials < MIN_TRIALS for effect in found):
        return f"Fewer than {MIN_TRIALS} trainings do not tell what a parameter does."
    told = [f"{effect.parameter} ({effect.direction})" for effect in found if effect.certain]
    if not told:
        return "No parameter's effect can be told apart from noise in these trials."
    return (
        f"Told apart from noise: {', '.join(told)}. A bar is the share of the trials' order that the parameter explains alone, "
        "pale where that may be chance; the line is its 95 % interval over halves of the trials."
    )


def _timeline_note(run: WholeRun) -> str:
    trained, waited = run.trials.train_s.sum(), run.trials.wait_s.sum()
    share = trained / (trained + waited) if trained + waited > 0 else math.nan
    busy = "" if math.isnan(share) else f" Training is {100 * share:.0f} % of the time from suggestion to end."
    return f"A bar is the training of a trial, a small mark one that another trial's scores answered for.{busy}"
