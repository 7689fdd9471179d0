"""One run from its options to its verdict: prepare, start Ray, search, compare on test pairs, say what came out."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import optuna
import ray
from ray import tune
from ray.tune.search import Searcher
from rich.console import Console
from rich.markup import escape

from trainable.config import Purpose, Settings
from trainable.mapped import let_go
from tuner import results
from tuner.analysis.choice import ValidationPairs
from tuner.cli.console import make_console
from tuner.cli.full_disk import ends_in_order
from tuner.cli.run_options import RunOptions
from tuner.cli.signals import INTERRUPTED, answered_signals
from tuner.cluster.connection import Cluster, TrialResources, is_connected, trial_resources
from tuner.cluster.node_decoding import Join
from tuner.reporting import summary
from tuner.reporting.figures.wrong_pairs import Images
from tuner.reporting.live_table import Display
from tuner.reporting.page import page_or_reason
from tuner.results.checkpoints import Saved, newest_state
from tuner.results.one_run import WholeRun
from tuner.results.store import Store
from tuner.results.trial_record import TrialRecord, best_of
from tuner.results.writer import RUN_PATIENCE_S, RunTables
from tuner.search import experiment, run_row, watching
from tuner.search.final_scores import FinalScores
from tuner.search.plan import Plan, prepare
from tuner.search.recorder import Recorder
from tuner.search.repeats import Repeats, RepeatSearch
from tuner.search.resume import STUDY, RunFiles, check_same_run, held, held_again, save_options, take_up_trials
from tuner.search.samplers import make_sampler
from tuner.search.searcher import StudySearch
from tuner.search.study_file import mend_study


def run_session(
    options: RunOptions,
    command: Sequence[str],
    started: float,
    begun: tuple[Plan, Cluster] | None = None,
    callbacks: Sequence[tune.Callback] = (),
) -> Ended:
    """Run, or go on with, one search. Raises InputError before anything is written.

    started: Unix time at which the command was given; begun: the plan of a new run, and the Ray that was started for it;
    callbacks: hear of the trials, too. Ray is left in any case, unless this process was connected to it before.
    """
    console = make_console()
    leave_ray = begun is not None or not is_connected()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        if options.output.resume is None:
            join = Join(options.hardware, options.heads_only)
            plan, cluster = begun or (prepare(options, console, elsewhere=join.elsewhere), None)
            cluster = cluster or join()
            session = Session(plan, cluster, console, shlex.join(command), started, callbacks=callbacks)
            with held(plan.results_root, plan.run, options.data.cache):
                return Ended(plan.run, session.run())
        with held_again(options) as (run, saved):
            options = RunOptions.from_dict(saved["options"]).resumed_with(options)
            join = Join(options.hardware, options.heads_only)
            plan = prepare(options, console, run, join.elsewhere)
            check_same_run(plan, saved)
            session = Session(plan, join(), console, shlex.join(command), started, 1 + saved["attempts"], callbacks)
            return Ended(plan.run, session.run())
    finally:
        let_go()
        if leave_ray:
            ray.shutdown()


class Ended(NamedTuple):
    """A session that came to its end: the run's name, and the command's exit code."""

    run: str
    code: int


class Session:
    """A prepared run on a connected cluster."""

    def __init__(
        self,
        plan: Plan,
        cluster: Cluster,
        console: Console,
        command: str,
        started: float,
        attempt: int = 1,
        callbacks: Sequence[tune.Callback] = (),
    ) -> None:
        self.plan, self.cluster, self.console, self.command, self.started = plan, cluster, console, command, started
        self.attempt, self.callbacks, options = attempt, callbacks, plan.options
        self.resources: TrialResources = trial_resources(cluster, options.hardware)
        self.settings = Settings(
            metric=plan.metric,
            rank_by=options.search.rank_by,
            threshold_is_searched="threshold" in plan.bound.searched,
            device=self.resources.device,
            precision=experiment.precision(options.hardware, self.resources, plan.bound.cuts),
            threads=options.hardware.cpus_per_trial,
            keep_sick=options.search.keep_sick,
            measure_image=plan.objectives.need_image_ms,
        )
        self.files = RunFiles(plan.results_root, plan.run, options.data.cache)
        self.store = Store.at(results.state_dir(plan.results_root, plan.run), RUN_PATIENCE_S)
        self.tables = RunTables(plan.results_root, plan.space.name, plan.run)

    def run(self) -> int:
        """Search, then compare; writes the run's row at the start and at the end."""
        self._introduce()
        save_options(self.plan, self.attempt)  # before it there is no run to go on with, and so none to have a row
        with ends_in_order(self.plan.results_root, self._go_on(), self._write_interrupted):
            return self._run()

    def _run(self) -> int:
        self.tables.write_run(self._row() | {"state": "running", "ended_at": None, "error": None})
        try:
            return self._search_and_compare()
        except (Exception, KeyboardInterrupt) as error:  # the process may live on, as a notebook's does
            last = [type(error).__name__, *str(error).strip().splitlines()][-1]  # Tune's errors are whole tracebacks
            self._write_interrupted(last)
            raise

    def _search_and_compare(self) -> int:
        trials, epochs = self.plan.options.search.trials, self.plan.options.configuration.epochs
        display = Display(self.console, trials, epochs, self.settings.metric, self.plan.bound.searched)
        given = self.tables, self.plan.data, self.plan.bound.count, self.settings
        recorder = Recorder(
            *given,
            changed=display.changed,
            checkpoint_s=self.plan.options.output.checkpoint_s,
            say=partial(self.console.print, soft_wrap=True, markup=False),
            objectives=self.plan.objectives,
        )
        searcher, to_go = self._searcher(recorder)
        display.show(recorder.records)
        stop = experiment.Stop(self.plan.options.search.time_budget_s)
        self.starts = experiment.starts_with_features(self.plan, self.cluster, self.resources, self.console)
        self.tables.write_run(run_row.of_starts(self.plan, self.starts))
        with answered_signals(stop, self._interrupted), display:
            if to_go > 0:
                self._search(searcher, recorder, to_go, stop)
            searcher.close()
            repeats = self._repeat(searcher, recorder, stop)
        if stop.reason == "time budget":
            searcher.prune_leftovers()
        recorder.flush()
        return self._conclude(list(recorder.records.values()), stop.reason, searcher.exhausted, repeats)

    def _searcher(self, recorder: Recorder) -> tuple[StudySearch, int]:
        options, path, keep = self.plan.options, self.files.folder / STUDY, partial(self.files.keep, STUDY)
        storage = mend_study(path, self.plan.run, self.tables, self._saved, keep, self.plan.objectives)
        searcher = StudySearch(
            self.plan.bound,
            recorder,
            metric=self.settings.metric,
            objectives=self.plan.objectives,
            sampler=make_sampler(
                options.search.sampler,
                options.configuration.seed + 1000 * (self.attempt - 1),
                options.search.sampler_args,
            ),
            storage=storage,
            study_name=self.plan.run,
            run_seed=options.configuration.seed,
            trials=options.search.trials,
            parallel=self.resources.concurrent,
            saved=self._saved,
            start_from=self.plan.start_from,
        )
        take_up_trials(searcher.study, recorder, self._saved)
        return searcher, options.search.trials - sum(r.asked_for for r in recorder.records.values())

    def _search(
        self, searcher: Searcher, recorder: Recorder, to_go: int, stop: experiment.Stop, part: str = "", **other: Any
    ) -> None:
        """part: of the attempt; other: search options in place of the run's."""
        plan, search = self.plan, replace(self.plan.options.search, **other)
        experiment.run_experiment(
            experiment.pair_trial(plan, self.starts, self.settings, search.scheduler),
            searcher,
            options=search,
            epochs=plan.options.configuration.epochs,
            trials_to_go=to_go,
            max_failures=plan.options.output.max_failures,
            resources=self.resources,
            storage=(self.store.root, self.store.fs),
            attempt=f"attempt-{self.attempt:02d}{part}",
            stop=stop,
            callbacks=watching.around(recorder, self.plan, self.files.folder, self.callbacks, self._page),
        )

    def _repeat(self, searcher: StudySearch, recorder: Recorder, stop: experiment.Stop) -> Repeats | None:
        """Train leading trials and default with other seeds, where that is asked for and there is time."""
        count, settings = self.plan.options.search.repeats, self.settings
        if not count or stop.reason is not None:
            return None
        pairs, seed = ValidationPairs.of(self.plan.data), self.plan.options.configuration.seed
        repeats = Repeats(recorder.records, pairs, settings.metric, count, seed)
        most = len(repeats.candidates) * count
        if most:
            trained = RepeatSearch(repeats, searcher.study, recorder, settings.metric, self._saved)
            self._search(trained, recorder, most, stop, part="-repeats", scheduler="none")
        return repeats

    def _conclude(
        self, records: list[TrialRecord], stopped: str | None, exhausted: bool, repeats: Repeats | None
    ) -> int:
        interrupted = stopped not in (None, "time budget")
        by_repeats = repeats.winner() if repeats else None
        winner = by_repeats or best_of(records, self.settings.metric)
        code, columns = 0, dict[str, Any]()
        if exhausted:
            self.console.print(f"\nThe space has nothing new left: {len(records)} configurations were all it holds.")
        if interrupted:
            code, columns["state"] = INTERRUPTED, "interrupted"
            kept = sum(r.ended is not None for r in records)
            self.console.print(f"\n{kept} finished trial{' is' if kept == 1 else 's are'} kept.")
        elif winner is None:
            code, columns["state"] = 1, "failed"
            columns["error"] = summary.print_why_none_can_win(self.console, records)
        else:
            columns["state"] = "finished"
            given = (self.starts, self.settings, self.resources, self._saved)
            scores = FinalScores(*given, Purpose.of(self.plan.options.search.threshold_for))
            found, shares = scores.judge(records, winner, repeats if by_repeats else None, self.console)
            columns |= found
            self.tables.update_trials({number: {"win_share": share} for number, share in shares.items()})
        done, ended = sum(record.ended is not None for record in records), time.time()
        wall_s = (self.tables.run_row().get("wall_s") or 0.0) + ended - self.started
        self.tables.write_run(columns | {"ended_at": _utc(ended), "wall_s": wall_s, "trials_done": done})
        if columns["state"] == "finished":
            summary.print_verdict(self.console, WholeRun.read(self.plan.results_root, self.plan.run))
        summary.print_symptoms(self.console, records)
        where = run_row.whereabouts(
            self.plan.results_root, self.plan.run, self.files.folder / STUDY, ended - self.started
        )
        self.console.print()
        self._say({"page": self._page()} | where)
        return code

    def _saved(self, number: int) -> Saved | None:
        return newest_state(self.store, number)

    def _row(self) -> dict[str, Any]:
        """The run's row as it is known at the start."""
        started = self.tables.run_row().get("started_at") or _utc(self.started)
        command = self.tables.run_row().get("command") or self.command  # of a resumed run the one that started it
        known = {"started_at": started, "command": command, "precision": self.settings.precision}
        return known | run_row.of_plan(self.plan) | run_row.of_machine(self.cluster, self.resources)

    def _introduce(self) -> None:
        self._say(run_row.introduction(self.plan, self.cluster, self.resources, self.settings.precision))
        self._say(watching.whereabouts(self.plan, self.files.folder))
        self.console.print()

    def _page(self, refresh_s: int | None = None) -> str:
        images = Images(self.plan.table, self.plan.data.pixels)
        return page_or_reason(self.plan.results_root, self.plan.run, images, refresh_s)

    def _say(self, lines: dict[str, str]) -> None:
        for name, text in lines.items():
            self.console.print(f"[bold]{name:10}[/bold] {escape(text)}", soft_wrap=True)

    def _interrupted(self, reason: str) -> None:
        """Say and write at once what a second Ctrl-C, or a Ray that dies of the same signal, would leave unsaid."""
        self.console.print(
            f"\nInterrupted by {reason}; stopping. Go on with: {self._go_on()}",
            soft_wrap=True,  # a command that is copied must be one line
        )
        self._write_interrupted()

    def _write_interrupted(self, why: str | None = None) -> None:
        with suppress(OSError):  # on a full disk its row says what it last could
            self.tables.write_run({"state": "interrupted", "ended_at": _utc(time.time()), "error": why})

    def _go_on(self) -> str:
        given = self.plan.options.output.results
        where = "" if given == RunOptions().output.results else f" --results {shlex.quote(given)}"
        return f"python -m tuner.run --resume {self.plan.run}{where}"


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
