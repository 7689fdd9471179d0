"""How a search is judged: what its choice is worth on validation pairs, and winner and default on test pairs, once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ray
from rich.console import Console

from trainable.config import Purpose, Settings
from trainable.data.pairs import PairData
from trainable.training.start import Starts, start_of
from trainable.trial import score_test_pairs
from tuner.analysis import winner as winner_numbers
from tuner.analysis.choice import ValidationPairs, chosen, evidence
from tuner.cluster.connection import TrialResources
from tuner.results.checkpoints import Saved
from tuner.results.trial_record import TrialRecord
from tuner.search.repeats import Repeats


@dataclass(frozen=True)
class FinalScores:
    """What it takes to score the test pairs with a trial's best weights.

    saved: reads a trial's newest saved state.
    """

    starts: Starts
    settings: Settings
    resources: TrialResources
    saved: Callable[[int], Saved | None]
    purpose: Purpose = field(default_factory=Purpose)
    """What thresholds are solved for."""

    @property
    def data(self) -> PairData:
        """The pairs, which are the same for all trials."""
        return next(iter(self.starts.values())).data

    def judge(
        self, records: list[TrialRecord], winner: TrialRecord, repeats: Repeats | None, console: Console
    ) -> tuple[dict[str, Any], dict[int, float]]:
        """Columns of the `runs` table: what the validation pairs say of the choice, which trial is chosen, and what winner and
        default come to on test pairs; and by trial the share of resamples that it wins.

        repeats: where the winner is the best mean over them.
        """
        default = next(record for record in records if record.is_default)
        pairs, settings = ValidationPairs.of(self.data), self.settings
        with console.status("resampling the validation identities"):
            found = evidence(records, pairs, settings.metric, settings.threshold_is_searched)
        columns = found.columns(winner) if found else {}
        if repeats is not None and not _repeats_of(winner, default, repeats):
            repeats = None  # the default fell sick with some seed: they are compared by one training each
        if repeats is not None:
            columns |= {"repeats": len(repeats.seeds), "beats_default_share": repeats.beats_default(winner)}
            columns["repeated_objective"] = float(np.mean([r.best["objective"] for r in repeats.of(winner)]))
        columns |= self.compare(winner, default, repeats, console)
        share = None if default.over_limits else columns.get("beats_default_share")  # it cannot be chosen
        columns["chosen_trial"] = chosen(winner, default, share).number
        return columns, found.win_shares if found else {}

    def compare(
        self, winner: TrialRecord, default: TrialRecord, repeats: Repeats | None, console: Console
    ) -> dict[str, Any]:
        """Score the test pairs with the winner's and the default's weights; return columns of the `runs` table."""
        again = {} if repeats is None else _repeats_of(winner, default, repeats)
        comparable = default.number in again if again else default.can_be_judged
        several = [record for records in again.values() for record in records]
        with console.status("scoring the test pairs"):
            scores = self._scores(several or ([winner, default] if comparable else [winner]))
        pairs = winner_numbers.TestPairs(self.data)

        def result(record: TrialRecord, threshold_of: Callable[[TrialRecord], float]) -> winner_numbers.TestResult:
            if not again:
                return pairs.result(scores[record.number], threshold_of(record))
            of_each = np.stack([scores[one.number] for one in again[record.number]])
            return pairs.repeated(threshold_of(record), of_each, [threshold_of(one) for one in again[record.number]])

        best = result(winner, self._threshold)
        if not comparable:
            return winner_numbers.winner_columns(best, winner, pairs.identities)
        given = default.config.threshold
        as_given = result(default, lambda record: record.best["threshold"] if given is None else given)
        solved = result(default, lambda record: self._threshold(record, solve=True))
        return winner_numbers.run_columns(pairs.compare(best, as_given, solved), winner)

    def _threshold(self, record: TrialRecord, solve: bool = False) -> float:
        """The threshold for test pairs: the trial's own where it was searched, else solved on all validation scores."""
        fixed = record.config.threshold is not None and not self.settings.threshold_is_searched
        labels = self.data.pair_label[self.data.rows("val")]
        if record.best_arrays is None:
            raise ValueError(f"trial {record.number} has no validation scores; only a trial with a ranked epoch has")
        return winner_numbers.threshold_for(
            record.best["threshold"], solve or fixed, record.best_arrays["scores"], labels, self.purpose
        )

    def _scores(self, records: list[TrialRecord]) -> dict[int, np.ndarray]:
        """(n_test,) cosines by trial. A trial that trained nothing has the weights of the one that answered for it."""
        trained = {r.number: r.number if r.replay_of is None else r.replay_of for r in records}
        of = {r.number: start_of(r.config, self.starts) for r in records}
        work = {r.number: (r.config, self._state_of(trained[r.number]), r.ranked_epoch) for r in records}
        if self.settings.device == "cpu":  # here, as a new worker would take seconds to start
            return {
                number: score_test_pairs(
                    config, of[number].backbone, of[number].data, self.settings, state, epoch
                )
                for number, (config, state, epoch) in work.items()
            }
        shared = {id(start): (ray.put(start.backbone), ray.put(start.data)) for start in of.values()}
        task = ray.remote(score_test_pairs)
        futures = {
            number: task.options(
                num_cpus=self.resources.cpus, num_gpus=self.resources.gpus, name=f"test pairs, trial {number:03d}"
            ).remote(config, *shared[id(of[number])], self.settings, state, epoch)
            for number, (config, state, epoch) in work.items()
        }
        return {number: ray.get(future) for number, future in futures.items()}

    def _state_of(self, number: int) -> dict[str, Any] | None:
        """The trial's newest saved state; None if there is none, as of one that the time budget cut off early."""
        saved = self.saved(number)
        return saved.state if saved else None


def _repeats_of(winner: TrialRecord, default: TrialRecord, repeats: Repeats) -> dict[int, list[TrialRecord]]:
    """By the number of winner and default; empty where the default can be compared, but not by repeats."""
    of_winner = {winner.number: repeats.of(winner)}
    if not default.eligible:
        return of_winner
    if repeats.default is None or not repeats.complete(repeats.default):
        return {}
    return of_winner | {default.number: repeats.of(repeats.default)}
