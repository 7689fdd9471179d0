"""How a search ends in the terminal: winner beside default on test pairs, what to do, is it healthy, what went wrong where."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trainable.diagnosis.remedies import REMEDIES
from tuner.analysis import text
from tuner.analysis.advice import SURE, UNSURE, own_model_won, run_advice
from tuner.analysis.expectation import expectation
from tuner.analysis.health import health
from tuner.analysis.importance import MIN_TRIALS, effects
from tuner.analysis.symptoms import Symptom, symptoms_of
from tuner.reporting.costs import print_costs
from tuner.results.one_run import WholeRun
from tuner.results.trial_record import TrialRecord

_STYLES = {SURE: "bold green", UNSURE: "bold yellow"}


def print_verdict(console: Console, run: WholeRun) -> None:
    """Winner beside default, on test pairs; what to do; then the winner's four lines."""
    console.print()
    for name, trial in (("winner", run.leader), ("default", run.default)):
        if trial is not None and (name == "winner" or run.compared):
            console.print(f"[bold]{name:8}[/bold] {escape(_configuration(run, trial))}", soft_wrap=True)
    if run.tested:
        console.print()
        console.print(_test_table(run))
        for line in _differences(run):
            console.print(line)
        identities = text.plural(run.row["test_identities"], "identity").replace("identitys", "identities")
        console.print(
            f"[dim]{text.plural(run.row['test_pairs'], 'test pair')} of {identities} that no trial saw; thresholds fixed on "
            f"validation pairs; 95 % intervals count shared identities once{_seeds(run)}[/dim]"
        )
    _print_expectation(console, run)
    _print_effects(console, run)
    advice = run_advice(run)
    console.print()
    console.print(f"[bold]What to do[/bold]  [{_STYLES.get(advice.sureness, 'bold red')}]{escape(advice.headline)}[/]")
    console.print(escape(advice.why))
    if run.default is not None and not run.compared and run.tested:
        state, error = (run.value(run.default, name) for name in ("state", "error"))
        console.print(
            f"Trial {run.default}, the default configuration, is {escape(f'{state}: {error}' if error else state)}."
        )
    print_costs(console, run)
    _print_health(console, run)


def _seeds(run: WholeRun) -> str:
    """What the table shows of several trainings each."""
    seeds = run.row["repeats"]
    return (
        ""
        if seeds is None
        else f", and seeds: accuracy and AUC are means over {seeds} of them, thresholds the trials' own"
    )


def _print_expectation(console: Console, run: WholeRun) -> None:
    """What the winner is worth by validation pairs, beside what the test pairs said."""
    said = expectation(run.row, run.trial(run.leader))
    if said:
        console.print()
    for line in said:
        console.print(line)


def _print_effects(console: Console, run: WholeRun) -> None:
    """Which of the searched parameters mattered, where so many trials can tell."""
    found = effects(run.trials, metric=run.metric, searched=run.searched)
    if all(effect.trials < MIN_TRIALS for effect in found):
        return
    told = [f"{e.parameter} ({e.importance:.2f}, {e.direction})" for e in found if e.certain]
    others = [e.parameter for e in found if not e.certain]
    console.print()
    said = ", ".join(told) or "nothing that can be told apart from noise"
    rest = f"; not told apart from noise: {', '.join(others)}" if told and others else ""
    console.print(f"[bold]What mattered[/bold]  {escape(said + rest)}", soft_wrap=True)


def _configuration(run: WholeRun, trial: int) -> str:
    """The trial's number, and what it had of the searched parameters and for a threshold."""
    values = {name: run.value(trial, name) for name in run.searched if name != "threshold" and run.has(trial, name)}
    source = run.value(trial, "threshold_source")
    given = text.number(run.value(trial, "threshold"), 4) if source != "solved" else "solved"
    return f"trial {trial}: {text.configuration(values | {'threshold': given})}"


def _test_table(run: WholeRun) -> Table:
    table = Table(
        title="On test pairs, looked at once", title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for name in ("", "threshold", "accuracy", "95 % interval", "AUC", "95 % interval"):
        table.add_column(name, justify="left" if not name else "right")
    source = "solved"
    if "threshold" in run.searched:
        source = run.value(run.leading, "threshold_source") or "searched"
    _add_row(table, run, "winner", "winner", source)
    if run.compared:
        assert run.default is not None
        if not own_model_won(run):
            _add_row(table, run, "default", "default", run.value(run.default, "threshold_source"))
            if run.row["threshold_default_solved"] not in (None, run.row["threshold_default"]):
                _add_row(table, run, "default, solved", "default_solved", "solved")
        elif run.row["threshold_winner"] != run.row["threshold_default"]:
            _add_row(table, run, "default", "default", run.value(run.default, "threshold_source"))
    return table


def _add_row(table: Table, run: WholeRun, title: str, which: str, source: str) -> None:
    row = run.row
    accuracy, auc = f"test_accuracy_{which}", f"test_auc_{which.removesuffix('_solved')}"
    cells = [f"{row[f'threshold_{which}']:.3f} {source}"]
    for name in (accuracy, auc):
        low, high = row[f"{name}_low"], row[f"{name}_high"]
        cells += [f"{row[name]:.3f}", "–" if low is None else text.interval(low, high)]
    table.add_row(title, *cells)


def _differences(run: WholeRun) -> list[str]:
    """What the winner gains over the default; nothing where they are the same thing."""
    if not run.compared:
        return []
    row, own = run.row, own_model_won(run)
    lines = []
    if not own or row["threshold_winner"] != row["threshold_default"]:
        what = "what its threshold changes" if own else "winner − default"
        lines.append(f"{what}: {_difference(run, 'test_difference')}")
    if not own and row["threshold_default_solved"] not in (None, row["threshold_default"]):
        lines.append(f"winner − default with a solved threshold: {_difference(run, 'test_difference_solved')}")
    return lines


def _difference(run: WholeRun, name: str) -> str:
    return text.difference(*(run.row[f"{name}{end}"] for end in ("", "_low", "_high")))


def _print_health(console: Console, run: WholeRun) -> None:
    record = next(record for record in run.records if record.number == run.leader)
    if not record.epochs or run.threshold is None:
        return
    console.print(
        f"\n[bold]Is the winner healthy?[/bold]  trial {record.number}, losses from its first to its last epoch, the rest at "
        f"epoch {record.ranked_epoch} of {len(record.epochs)}"
    )
    marks = {True: "[green]✓[/green]", False: "[red]✗[/red]", None: "[yellow]?[/yellow]"}
    for check in health(record, run.threshold, "threshold" in run.searched):
        unknown = "   one epoch cannot tell" if check.holds is None else ""
        console.print(f"  {marks[check.holds]} {check.text:43} {check.numbers}{unknown}")


def print_symptoms(console: Console, records: Sequence[TrialRecord]) -> None:
    """The table, or nothing where no trial has a symptom."""
    found = symptoms_of(records)
    if not found:
        return
    title = "What went wrong in this search, and where in the space"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in ("symptom", "trials", "where", "remedy"):
        table.add_column(column, overflow="fold")
    for symptom in found:
        remedy = REMEDIES[symptom.name][1] if symptom.name in REMEDIES else ""
        table.add_row(symptom.name, trials_of(symptom), escape(symptom.where), escape(remedy))
    console.print()
    console.print(table)


def trials_of(symptom: Symptom) -> str:
    """How many trials have it, the first few of them, and how many it ended."""
    ended = f"; {symptom.ended} ended by it" if symptom.ended else ""
    return f"{len(symptom.trials)}: {text.listed(symptom.trials)}{ended}"


def print_why_none_can_win(console: Console, records: list[TrialRecord]) -> str:
    """Print and return the reasons why no trial can win, each with the trials that it holds for."""
    reasons: dict[str, list[int]] = {}
    for record in records:
        if record.ended is not None:
            reasons.setdefault(record.error or "no epoch was finished", []).append(record.number)
    said = "; ".join(
        f"trial{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}: {reason}"
        for reason, numbers in reasons.items()
    )
    said = said or "no trial finished an epoch; give --time-budget-s more time"
    console.print(f"\n[red]No trial can win.[/red] {escape(said)}")
    return said
