"""What each section of a run's page says in words and tables; figures come from trial_figures and score_figures."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from markupsafe import Markup

from trainable.diagnosis.remedies import REMEDIES
from tuner.analysis import health
from tuner.analysis.advice import own_model_won
from tuner.analysis.importance import Effect
from tuner.analysis.symptoms import Symptom
from tuner.analysis.text import number
from tuner.reporting.costs import costs
from tuner.reporting.figures.scores import cmc, cmc_curve
from tuner.reporting.figures.svg import Axis, Panel, element, frame
from tuner.reporting.summary import trials_of
from tuner.results.one_run import WholeRun
from tuner.results.schema import SCHEMAS
from tuner.results.trial_record import FAILED

TITLES = {
    "asked": "What was asked",
    "winner": "Winner beside default",
    "costs": "What it costs",
    "curves": "Learning curves",
    "parameters": "Parameters",
    "importance": "What matters",
    "parallel": "All parameters at once",
    "threshold": "Threshold",
    "scores": "Scores",
    "retrieval": "Retrieval",
    "pairs": "Most wrong pairs",
    "diagnoses": "Diagnoses",
    "timeline": "Timeline",
    "trials": "All trials",
    "provenance": "Provenance",
}
"""The sections in their order: id and title."""


def asked(run: WholeRun) -> list[str]:
    """The space's docstring, a paragraph each; its question alone where there is none."""
    source = run.row["space_source"]
    try:
        text = ast.get_docstring(ast.parse(source or "")) or run.row["question"]
    except SyntaxError:  # of a space written for a newer Python, for example
        text = run.row["question"]
    return [" ".join(paragraph.split()) for paragraph in (text or "The space states no question.").split("\n\n")]


def setting(run: WholeRun) -> str:
    """What was held fixed, in a sentence."""
    row = run.row
    pairs = " / ".join(
        "?" if row[f"{split}_pairs"] is None else f"{row[f'{split}_pairs']:,}" for split in ("train", "val", "test")
    )
    return (
        f"{pairs} pairs to train / validate / test, {number(row['image_size_px'])} px; {row['backbone']} with weights "
        f"{row['weights']}; {number(row['trials_requested'])} trials asked for; {row['sampler']} suggests, {row['scheduler']} "
        f"stops early. Trials are ranked by {run.metric}: {meaning(run.metric)}."
    )


def ranges(run: WholeRun) -> list[list[str]]:
    """Of each searched parameter, what the space can give, between which values it was tried, the default, and what it is."""
    rows, given = [], run.row["space_ranges"] or {}
    for name in run.searched:
        tried = [run.value(n, name) for n in run.having(name)]
        if tried:
            default = None if run.default is None else run.value(run.default, name)
            ends = (", ".join(run.names_of(name)), "") if run.names_of(name) else (min(tried), max(tried))
            numbers = [number(value) for value in (*ends, default)]
            rows.append([name, given.get(name, "unknown"), *numbers, meaning(name)])
    return rows


def meaning(column: str) -> str:
    """What a column of `trials` is, with its unit, in the words of the tables' own dictionary."""
    known = SCHEMAS["trials"].field(column).metadata
    text, unit = (str(known[name], "utf-8") for name in (b"description", b"unit"))
    return text.replace("`", "") + (f" [{unit}]" if unit else "")


def compared(run: WholeRun) -> dict[str, Any] | None:
    """Winner and default on test pairs, with intervals; None where no test pair was looked at."""
    row = run.row
    if not run.tested:
        return None
    which = [("winner", run.leading, "winner", "threshold_winner")]
    if run.compared:
        default, own = run.trial(run.default) or {}, own_model_won(run)
        if not own or row["threshold_winner"] != row["threshold_default"]:
            which.append(("default", default["trial"], "default", "threshold_default"))
        if not own and row["threshold_default_solved"] not in (None, row["threshold_default"]):
            which.append(("default, threshold solved", default["trial"], "default_solved", "threshold_default_solved"))
    head = ["", *(title for title, *_ in which)]
    rows = [["trial", *(str(trial) for _, trial, *_ in which)]]
    for name in run.searched:
        if name != "threshold":
            rows.append([name, *(number(run.value(n, name)) if run.has(n, name) else "–" for _, n, *_ in which)])
    rows.append(["threshold", *(number(row[threshold]) for *_, threshold in which)])
    rows.append(["test accuracy, %", *(_cell(row, f"test_accuracy_{column}", 100, 1) for _, _, column, _ in which)])
    rows.append(["test AUC", *(_cell(row, f"test_auc_{column.removesuffix('_solved')}") for _, _, column, _ in which)])
    figure = _intervals(row, [(title, column) for title, _, column, _ in which])
    caption = (
        "On test pairs that no trial saw, at thresholds fixed on validation pairs; in brackets and as lines 95 % intervals "
        "that count shared identities once."
    )
    return {"head": head, "rows": rows, "figure": figure, "caption": caption}


def _cell(row: dict[str, Any], name: str, scale: float = 1, digits: int = 3) -> str:
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    ends = "" if low is None else f" ({scale * low:.{digits}f} to {scale * high:.{digits}f})"
    return f"{scale * value:.{digits}f}{ends}"


def _intervals(row: dict[str, Any], which: list[tuple[str, str]]) -> Markup:
    """A dot and its interval for each line of the table."""
    columns = [f"test_accuracy_{column}" for _, column in which]
    axis = Axis.over(
        "test accuracy", [row[f"{c}{end}"] for c in columns for end in ("", "_low", "_high")], log=False, margin=0.1
    )
    height = 30 * len(which) + 60
    panel = Panel("test accuracy", axis, Axis("", 0, 1), height=height, left=150)
    parts = list(panel.x_axis())
    for place, (title, column) in enumerate(which):
        middle = 28 + 30 * place
        x, low, high = (panel.at(row[f"test_accuracy_{column}{end}"], 0)[0] for end in ("", "_low", "_high"))
        look = "winner" if column == "winner" else "default"
        parts += [
            element("text", title, x=142, y=middle + 4, text_anchor="end", class_="label"),
            element("line", x1=low, x2=high, y1=middle, y2=middle, class_=f"line {look}"),
            element("circle", cx=x, cy=middle, r=5, class_=f"dot {look}"),
        ]
    return frame("test accuracy with 95 % intervals", panel.width, height, parts)


def checks(run: WholeRun) -> list[tuple[str, str, str]]:
    """The four lines that a healthy training satisfies, of the winner: mark, text, numbers."""
    if run.leader is None or run.threshold is None:
        return []
    record = next(record for record in run.records if record.number == run.leader)
    if not record.epochs:
        return []
    marks = {True: "good", False: "bad", None: "unsure"}
    found = health.health(record, run.threshold, "threshold" in run.searched)
    return [(marks[check.holds], check.text, check.numbers) for check in found]


def effect_rows(effects: list[Effect]) -> list[list[str]]:
    """Of each parameter, its direction, where the best trials lie, and what to know."""
    rows = []
    for effect in effects:
        low, high = number(effect.best_low), number(effect.best_high)
        best = low if low == high else f"{low} to {high}"
        rows.append([effect.parameter, effect.direction, best, effect.note * effect.certain])
    return rows


def diagnosis_rows(symptoms: list[Symptom]) -> list[list[str]]:
    """A line a diagnosis: name, trials, where it occurs, cause and remedy."""
    return [[s.name, trials_of(s), s.where, *REMEDIES.get(s.name, ("", ""))] for s in symptoms]


def retrieval(run: WholeRun) -> dict[str, Any] | None:
    """Recall, mAP and the CMC curve of the leading trial; None where they are not known."""
    curve = cmc_curve(run)
    if not curve:
        return None
    rows = run.epochs[(run.epochs.trial == run.leader) & (run.epochs.epoch == run.value(run.leading, "ranked_epoch"))]
    known = {
        name: run.value(run.leading, f"val_{name}") for name in ("recall_at_1", "recall_at_5", "recall_at_10", "map")
    }
    shares = [
        f"{'mAP' if name == 'map' else name.replace('_', ' ')} {number(value)}"
        for name, value in known.items()
        if value is not None
    ]
    text = (
        f"Each of {number(rows.val_queries.iloc[0])} validation fronts looks for its thing among the angle views of all: "
        f"{', '.join(shares)}. Ties count against the model."
    )
    return {"text": text, "figure": cmc(run)}


def errors(run: WholeRun) -> list[str]:
    """What failed, the run or trials of it."""
    failed = map(int, run.trials.trial[run.trials.state == FAILED])
    lines = [f"trial {number}: {run.value(number, 'error') or 'unknown'}" for number in failed]
    return [f"the run: {run.row['error']}", *lines] if run.row["error"] else lines


def table(run: WholeRun) -> dict[str, Any]:
    """Every trial, the best first."""
    columns = [*run.searched, "objective", "val_auc", "contrastive_loss", "epochs", "train_s"]
    order = (run.sign * run.trials.objective.astype(float)).sort_values(ascending=False, kind="stable").index
    rows = []
    for trial in map(int, order):
        cells = [number(run.value(trial, name)) if run.has(trial, name) else "–" for name in columns]
        found = run.value(trial, "diagnoses")
        state = run.value(trial, "state") + {"winner": ", winner", "default": ", default"}.get(run.look(trial), "")
        rows.append((trial, [trial, state, *cells, ", ".join(found or [])]))
    names = [run.metric if name == "objective" else name for name in columns]
    return {"head": ["trial", "state", *names, "diagnoses"], "rows": rows}


def provenance(run: WholeRun) -> dict[str, str]:
    """Where the run comes from."""
    row = run.row
    commit = row["git_commit"] and row["git_commit"] + (" with changes that are not in it" if row["git_dirty"] else "")
    cluster = (
        f"nodes {number(row['cluster_nodes'])}, CPUs {number(row['cluster_cpus'])}, GPUs {number(row['cluster_gpus'])}"
    )
    facts = {
        "results": run.root,
        "started": row["started_at"] and f"{row['started_at']:%Y-%m-%d %H:%M:%S} UTC",
        "took": row["wall_s"] and f"{row['wall_s']:.0f} s",
        "code": commit,
        "data": f"{row['data']}, fingerprint {row['data_fingerprint']}",
        "model": f"{row['backbone']}, weights {row['weights']}, {number(row['image_size_px'])} px, "
        f"views of each image: {number(row['views'])}",
        "seed": number(row["seed"]),
        "machine": f"{row['hostname']}: {cluster}; trained on {row['device']} in {row['precision']}",
        "versions": row["versions"] and ", ".join(f"{name} {version}" for name, version in row["versions"].items()),
    }
    return {name: text or "unknown" for name, text in facts.items()}


MADE: dict[str, Callable[[WholeRun], Any]] = {
    "asked": asked,
    "setting": setting,
    "ranges": ranges,
    "compared": compared,
    "checks": checks,
    "costs": costs,
    "retrieval": retrieval,
    "errors": errors,
    "table": table,
    "provenance": provenance,
}
"""What the page's template names and a run alone says. A new section is a function and a title here, and its place in
page.html."""
