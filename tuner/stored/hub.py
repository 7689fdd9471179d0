"""An exported folder sent to the Hugging Face Hub, with the library that timm brings along."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from trainable.errors import InputError


def check_name(repository: str) -> None:
    """InputError for a name that no repository can have, before anything is trained."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # documented, but not in its __all__

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise InputError(
            f"--push-to-hub {repository!r} is no name of a repository: {_first_line(error)} Valid is NAME, or OWNER/NAME. "
            "Change it."
        ) from None


def push(folder: Path, names: Sequence[str], repository: str) -> str:
    """Upload these files of the folder; returns the address of the page that shows them. A repository that is not there is
    made, and is private. Raises InputError where nothing can be sent: the folder stays as it is."""
    from huggingface_hub import HfApi, get_token, is_offline_mode
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # its own, whichever client it was built on

    if is_offline_mode():
        raise _refused(folder, repository, "the Hub is switched off here by HF_HUB_OFFLINE", "unset it")
    if get_token() is None:
        raise _refused(folder, repository, "no token of the Hub is known here", "`hf auth login`, or set HF_TOKEN")
    api = HfApi()
    try:
        made = api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(
            repo_id=made.repo_id,
            folder_path=folder,
            allow_patterns=list(names),
            commit_message="A two-view matching model",
        )
    except (HTTPError, OSError) as error:
        why = f"{api.endpoint} answered: {_first_line(error)}".rstrip(".")
        raise _refused(folder, repository, why, "see to it") from error
    return str(made)


def _refused(folder: Path, repository: str, why: str, remedy: str) -> InputError:
    by_hand = f"hf upload {shlex.quote(repository)} {shlex.quote(str(folder))}"
    return InputError(
        f"--push-to-hub {repository}: {why}, so that nothing was sent; {folder} is written and stays. Valid is a token that "
        f"may write there and a network: {remedy}, then `{by_hand}` sends it without another export."
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
