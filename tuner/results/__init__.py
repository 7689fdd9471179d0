"""The result tables: Parquet files that pandas reads as they are. `from tuner import results; results.trials()`."""

from tuner.results.tables import epochs, known_runs, plain_rows, runs, scores, state_dir, trials

__all__ = ["epochs", "known_runs", "plain_rows", "runs", "scores", "state_dir", "trials"]
