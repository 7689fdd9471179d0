"""python -m tuner and the command `twoview`: the verbs, and what each is for."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module

VERBS = {
    "run": "search, or go on with a run",
    "doctor": "look at data and model before training",
    "explain": "what is wrong with a training made elsewhere, from its log",
    "compare": "what several runs say, side by side",
    "report": "one run as one HTML page",
    "export": "a trained model as a folder that needs nothing of this project",
    "replay": "train a trial again, and compare every number",
}
"""The doors, each with what it is for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Open a door: `twoview run …` is python -m tuner.run …; returns its exit code, 2 for a verb that there is not."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    verb, *rest = given or ["--help"]
    if verb in ("-h", "--help"):
        print(_help())
        return 0
    if verb == "--complete":
        print("\n".join(_completions(os.environ.get("COMP_LINE", ""), *rest[1:2])))
        return 0
    if verb not in VERBS:
        from trainable.errors import nearest  # here, as it is seldom needed

        near = nearest(verb, list(VERBS), count=1)
        perhaps = f", perhaps {near}" if near else ""
        print(
            f"error: there is no verb {verb!r}; valid are: {', '.join(VERBS)}. Give one of them{perhaps}.",
            file=sys.stderr,
        )
        return 2
    sys.argv = [f"tuner.{verb}", *rest]  # so that the verb reads its own command line, and a run's row holds it
    code: int = import_module(f"tuner.{verb}").main()
    return code


def command() -> int:
    """The command `twoview`."""
    from tuner.cli.process import leave

    leave(main())


def _completions(line: str, begun: str = "") -> list[str]:
    """What bash can make of the word that is begun in this line; none: it completes names of files."""
    words = line.split()
    if len(words) < 2 or (len(words) == 2 and begun):
        return [verb for verb in VERBS if verb.startswith(begun)]
    if not begun.startswith("-") or words[1] not in VERBS:
        return []
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        import_module(f"tuner.{words[1]}").main(["--help"])
    return sorted({word for word in re.findall(r"--[a-z][a-z-]+", said.getvalue()) if word.startswith(begun)})


def _help() -> str:
    lines = [f"  {verb:9} {what}" for verb, what in VERBS.items()]
    return "\n".join(
        ["usage: twoview VERB …, or python -m tuner.VERB …", "", *lines, "", "twoview VERB --help says more."]
    )


if __name__ == "__main__":
    command()
