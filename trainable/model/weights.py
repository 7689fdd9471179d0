"""Where a backbone's weights come from: a file, or timm's published ones, and what to say when they do not come."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
import timm
import torch
from huggingface_hub import constants
from timm.models import load_state_dict
from torch import Tensor, nn

from trainable.errors import InputError

_TIMEOUT_S = 5.0
_HOW_TO_GIVE_A_FILE = (
    "Give a weights file of this model instead (safetensors, or a torch file of tensors), or none for random weights."
)


@dataclass(frozen=True)
class Loading:
    """What timm needs to load some weights, and the message if it could not."""

    overlay: dict[str, Any]
    """Replaces entries of timm's `pretrained_cfg`."""
    complaint: Callable[[nn.Module, Exception], str]
    """From a net of the same shape with random weights, and from the error."""
    note: str = ""
    """What was decided for the user, to be said once."""


def from_hub(name: str) -> Loading:
    """timm's published weights of a model, fetched or from its cache; InputError, within seconds, if neither works."""
    cfg: Any = timm.get_pretrained_cfg(name)  # known: the name was checked
    if not cfg.has_weights:
        raise InputError(f"timm has no pretrained weights for the backbone {name!r}. {_HOW_TO_GIVE_A_FILE}")
    # Asked first because the hub's client retries for most of a minute when there is no network.
    if not _is_cached(cfg) and not _reachable(constants.ENDPOINT if cfg.hf_hub_id else cfg.url):
        raise InputError(
            f"the pretrained weights of the backbone {name!r} are not in the local cache, and the network they would "
            f"come by cannot be reached. {_HOW_TO_GIVE_A_FILE}"
        )
    return Loading(
        overlay={},
        complaint=lambda net, error: (
            f"the pretrained weights of the backbone {name!r} could not be loaded "
            f"({type(error).__name__}: {_first_line(error)}). {_HOW_TO_GIVE_A_FILE}"
        ),
    )


def from_file(name: str, path: str, wanted: Iterable[str]) -> Loading:
    """The weights in a file, to be loaded strictly but for the classifier; InputError if it holds no tensors, or NaN.

    wanted: the names of the backbone's tensors. Where they stand in the file under a prefix, as in the checkpoint of a larger
    model, that part is taken, and `Loading.note` says so.
    """
    cfg: Any = timm.get_pretrained_cfg(name)  # known: the name was checked
    state, note = under_prefix(path, read(path), set(wanted))
    state = _without_classifier(state, cfg.classifier)
    _check_finite(path, state)
    overlay = {
        "state_dict": state,
        # timm loads loosely when the numbers of classes differ; with equal ones, and no offset, every key must fit.
        "num_classes": 0,
        "label_offset": 0,
        "custom_load": False,
        "source": "",
    }
    return Loading(overlay, lambda net, error: _misfit(name, path, net.state_dict(), state, error), note)


def read(path: str) -> dict[str, Tensor]:
    """The tensors of a safetensors or torch file, which is never allowed to run code; InputError if it is neither."""
    if not Path(path).is_file():
        raise InputError(f"the weights file {path} does not exist. {_VALID_WEIGHTS}")
    try:
        state = load_state_dict(path, device="cpu", weights_only=True)
    except Exception as error:  # arbitrary bytes, misread as a pickle, fail in any way there is
        raise InputError(
            f"the weights file {path} cannot be read ({type(error).__name__}: {_first_line(error)}). {_VALID_WEIGHTS}"
        ) from error
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"the weights file {path} does not hold a model's named tensors. {_VALID_WEIGHTS}")
    return state


def under_prefix(path: str, state: dict[str, Tensor], wanted: set[str]) -> tuple[dict[str, Tensor], str]:
    """The part of a file's tensors that stands under one prefix (`model.`, `backbone.`, `visual.trunk.`, …) and has all that
    are wanted, without it, and a note of that; the tensors as they are where they have no such part.

    InputError if there are two such parts, as of a student and its teacher: which one is meant cannot be told.
    """
    if not wanted or wanted <= state.keys():
        return state, ""
    one = min(wanted)
    ends = [key.removesuffix(one) for key in state if key.endswith(f".{one}")]
    prefixes = [prefix for prefix in ends if all(prefix + name in state for name in wanted)]
    if len(prefixes) > 1:
        raise InputError(
            f"the weights file {path} holds this backbone {len(prefixes)} times, under {', '.join(prefixes)}; valid is a file "
            "that holds it once. Save the one that is meant on its own."
        )
    if not prefixes:
        return state, ""
    part = {key.removeprefix(prefixes[0]): value for key, value in state.items() if key.startswith(prefixes[0])}
    rest = sorted(key for key in state if not key.startswith(prefixes[0]))
    left = f"; {len(rest)} others are left out ({_some(rest)})" if rest else ""
    return part, f"of the weights file {path} the tensors under {prefixes[0]!r} are read{left}"


def _check_finite(path: str, state: dict[str, Tensor]) -> None:
    """InputError for weights that are NaN or infinite: nothing can be trained from them."""
    broken = sorted(
        key
        for key, tensor in state.items()
        if tensor.is_floating_point() and "mask" not in key and not torch.isfinite(tensor).all()
    )
    if broken:
        raise InputError(
            f"the weights file {path} has NaN or infinite values in {len(broken)} of {len(state)} tensors ({_some(broken)}); "
            "valid are finite weights. Take a checkpoint of before its training broke down, or none for random weights."
        )


_VALID_WEIGHTS = (
    "Valid weights are none, pretrained, or the path of a safetensors file or of a torch file of a model's state_dict."
)


def _is_cached(cfg: Any) -> bool:
    if not cfg.hf_hub_id:
        return False  # torch's own cache of a plain address is looked up by timm; the network is asked all the same
    repository, _, revision = cfg.hf_hub_id.partition("@")
    names = [cfg.hf_hub_filename] if cfg.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
    found = (huggingface_hub.try_to_load_from_cache(repository, name, revision=revision or None) for name in names)
    return any(isinstance(path, str) for path in found)


def _reachable(address: str) -> bool:
    """Whether anything answers; through the same proxies as a download, and without a retry."""
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=_TIMEOUT_S).close()
    except urllib.error.HTTPError:
        return True  # an answer, if not the one hoped for
    except OSError:
        return False
    return True


def _without_classifier(state: dict[str, Tensor], classifier: str | tuple[str, ...] | None) -> dict[str, Tensor]:
    names = (classifier,) if isinstance(classifier, str) else classifier or ()
    dropped = {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}
    return {key: tensor for key, tensor in state.items() if key not in dropped}


def _misfit(name: str, path: str, wanted: dict[str, Tensor], got: dict[str, Tensor], error: Exception) -> str:
    differences = {
        "missing": sorted(wanted.keys() - got.keys()),
        "unexpected": sorted(got.keys() - wanted.keys()),
        "of another shape": sorted(k for k in wanted.keys() & got.keys() if wanted[k].shape != got[k].shape),
    }
    counts = [f"{len(keys)} {kind} ({_some(keys)})" for kind, keys in differences.items() if keys]
    found = ", ".join(counts) or f"{type(error).__name__}: {_first_line(error)}"
    return (
        f"the weights file {path} does not fit the backbone {name!r}: of {len(wanted)} tensors, {found}. "
        f"Name the backbone that the file was made for, or give a file of this one."
    )


def _some(keys: list[str], count: int = 3) -> str:
    return ", ".join(keys[:count]) + (", …" if len(keys) > count else "")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]
