"""The files that a run goes on from, its options and its study: beside the results, wherever those lie."""

from __future__ import annotations

from pathlib import Path

from tuner import results
from tuner.inputs.dataset import cache_folder
from tuner.results.store import Store
from tuner.results.writer import RUN_PATIENCE_S

OPTIONS, STUDY = "run.json", "study.log"


class RunFiles:
    """They are written in a local folder; where results do not lie on this machine, in the cache, and copied to them.

    So another machine can go on with the run: it fetches them first.
    """

    def __init__(self, root: str, run: str, cache: str | None) -> None:
        state = results.state_dir(root, run)
        self._remote = Store.at(state, RUN_PATIENCE_S) if "://" in state else None
        self.folder = cache_folder(cache) / "state" / run if self._remote else Path(state)

    def fetch(self) -> None:
        """Have what lies beside the results here."""
        if self._remote is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in (OPTIONS, STUDY):
            path = self._remote.path(name)
            if self._remote.exists(path):
                with self._remote.fs.open_input_stream(path) as stream:
                    (self.folder / name).write_bytes(stream.read())

    def keep(self, name: str) -> None:
        """Have the file, as it is now, beside the results."""
        if self._remote is not None:
            self._remote.write(self._remote.root, name, (self.folder / name).read_bytes())

    def is_there(self) -> bool:
        """Whether the run's options lie where they belong."""
        if self._remote is None:
            return (self.folder / OPTIONS).is_file()
        return self._remote.exists(self._remote.path(OPTIONS))
