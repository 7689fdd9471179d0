"""torch.optim.AdamW, without the import of PyTorch's compiler that its first step costs: 83 MB, and 2.4 s of a processor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def _plain(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method that PyTorch has put in a wrapper for torch.compile, which imports the compiler; itself, if it has none."""
    found: Callable[..., Any] = getattr(method, "__wrapped__", method)
    return found


class AdamW(torch.optim.AdamW):
    """The same, number by number; torch.compile cannot have it in what it compiles."""

    add_param_group = _plain(torch.optim.AdamW.add_param_group)
    zero_grad = _plain(torch.optim.AdamW.zero_grad)
    state_dict = _plain(torch.optim.AdamW.state_dict)
    load_state_dict = _plain(torch.optim.AdamW.load_state_dict)
    step = torch.no_grad()(_plain(torch.optim.AdamW.step))
