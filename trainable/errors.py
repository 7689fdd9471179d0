"""InputError: a mistake of the user, told as one clear message; and the words that look most like a mistyped one."""

from __future__ import annotations


class InputError(Exception):
    """A foreseeable mistake in what the user gave. Its message says what was got, what is valid and what to do."""


def nearest(word: str, valid: list[str], count: int = 5) -> str:
    """The valid words that look most like `word`, for an error message; empty when none does."""
    from difflib import get_close_matches

    return ", ".join(get_close_matches(word, valid, n=count, cutoff=0.5))
