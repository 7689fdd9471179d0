"""The column dictionary in results/README.md: `python -m tests.tools.dictionary` writes it anew from the schemas."""

from __future__ import annotations

import re
from pathlib import Path

from tuner.results.schema import SCHEMAS, dictionary

FILE = Path(__file__).parents[2] / "results" / "README.md"


def main() -> None:
    """Write each table's section; the rest of the file stays."""
    text = FILE.read_text(encoding="utf-8")
    for table in SCHEMAS:
        section = rf"(^## `{table}`\n\n)(.*?)(?=\n\n|\n*\Z)"
        words = dictionary(table)
        text = re.sub(section, lambda found, words=words: found[1] + words, text, flags=re.MULTILINE | re.DOTALL)
    FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
