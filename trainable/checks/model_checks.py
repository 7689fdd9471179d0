"""What the first training steps at some cuts are worth: one finding a check, a line for each cut."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from trainable.checks.first_steps import FirstSteps
from trainable.findings import FAIL, OK, WARN, Finding, worst

_LISTED = 4
_LARGE_UPDATE, _TINY_UPDATE = 0.1, 1e-6
_LOW_RANK = 0.03  # of the most there can be
_CONSTANT = 1e-3  # feature std below which embeddings do not depend on the image

Verdict = tuple[str, str, str]
"""Of one cut: verdict, what was found, what to do."""


def examine_steps(looks: Sequence[FirstSteps], blocks: int) -> list[Finding]:
    """The model's findings. looks: at each cut; blocks: of the backbone, all of which can be trained."""
    checks: dict[str, Callable[[FirstSteps], Verdict]] = {
        "trained tensors move": _trained,
        "frozen tensors stay": _frozen,
        "gradients (updates)": _gradients,
        "first losses": _losses,
        "embeddings at start": _embeddings,
    }
    return [_joined(name, looks, blocks, check) for name, check in checks.items()]


def _joined(check: str, looks: Sequence[FirstSteps], blocks: int, of: Callable[[FirstSteps], Verdict]) -> Finding:
    """One finding of all cuts: the worst verdict, each cut's numbers (once where all are the same), each advice once."""
    verdicts = [of(look) for look in looks]
    advice = " ".join(dict.fromkeys(advice for _, _, advice in verdicts if advice))
    texts = [text for _, text, _ in verdicts]
    lines = [f"{cut_name(look.trainable_blocks, blocks)}: {text}" for look, text in zip(looks, texts, strict=True)]
    return Finding(
        check,
        worst(verdict for verdict, _, _ in verdicts),
        "\n".join(texts[:1] if len(set(texts)) == 1 else lines),
        advice,
    )


def cut_name(trainable_blocks: int, blocks: int) -> str:
    """How a person calls so many trained blocks."""
    if trainable_blocks in (0, blocks):
        return "head only" if trainable_blocks == 0 else f"all {blocks} blocks"
    return f"{trainable_blocks} of {blocks} blocks"


def _trained(look: FirstSteps) -> Verdict:
    still = len(look.stuck) + len(look.without_gradient)
    text = f"{look.trained - still} of {look.trained} trained tensors moved in {look.steps} steps"
    if look.stuck:
        advice = "Give the optimiser every trained parameter, with a learning rate that its number format can hold."
        return FAIL, f"{text}; these have a gradient and did not: {_few(look.stuck)}", advice
    if len(look.without_gradient) == look.trained:
        return FAIL, f"{text}; none has a gradient", "Call backward on a loss of the model's own output."
    if look.without_gradient:
        advice = "Harmless where the network does not use them; else look for a detach, or for units that died."
        return WARN, f"{text}; these have no gradient: {_few(look.without_gradient)}", advice
    return OK, text, ""


def _frozen(look: FirstSteps) -> Verdict:
    text = f"{look.kept} frozen tensors and buffers compared number by number"
    if not look.moved:
        return OK, f"{text}, none moved" if look.kept else "nothing is frozen", ""
    advice = "Leave frozen tensors out of the optimiser, and frozen modules in eval() after every .train()."
    return FAIL, f"{text}; {len(look.moved)} moved: {_few(look.moved)}", advice


def _gradients(look: FirstSteps) -> Verdict:
    text = ", ".join(f"{g.name} {g.grad_norm:.3g} ({100 * g.update_ratio:.2g} %)" for g in look.groups)
    if any(group.grad_norm == 0 for group in look.groups):
        return FAIL, text, "A group without a gradient learns nothing: look for a detach, or for units that died."
    if any(group.update_ratio > _LARGE_UPDATE for group in look.groups):
        return WARN, text, "Lower the learning rate: a step changes more than a tenth of the weights."
    if any(group.update_ratio < _TINY_UPDATE for group in look.groups):
        return WARN, text, "Raise the learning rate: a step changes hardly anything."
    return OK, text, ""


def _losses(look: FirstSteps) -> Verdict:
    text = f"contrastive loss {' → '.join(f'{loss:.3f}' for loss in look.losses)}, chance {look.chance:.3f}"
    if not look.finite:
        advice = "Check the weights file for NaN; lower the learning rate, or raise the temperature."
        return FAIL, f"{text}; a loss or a gradient is NaN or infinite", advice
    if min(look.losses) < 0:
        return FAIL, f"{text}; InfoNCE is at least 0", "Use InfoNCE by cross_entropy."
    return OK, text, ""


def _embeddings(look: FirstSteps) -> Verdict:
    if math.isnan(look.feature_std):
        return FAIL, "NaN or infinite", "Check the weights file for NaN."
    text = (
        f"AUC {look.auc:.3f} untrained; spread {look.feature_std:.2f}, mean cosine of strangers {look.mean_cosine:.3f}"
    )
    text += f", {look.rank:.0f} of {look.rank_limit} dimensions"
    if look.feature_std < _CONSTANT:
        return (
            FAIL,
            f"the same for every image: {text}",
            "Look at weights and normalisation: nothing of the image arrives.",
        )
    if look.rank < _LOW_RANK * look.rank_limit:
        return (
            WARN,
            text,
            "Check the weights and --input-mean, --input-std: features hardly differ from image to image.",
        )
    if look.auc < 0.4:
        return WARN, text, "Look at a few pairs: labels seem the wrong way round, since strangers look more alike."
    return OK, text, ""


def _few(names: Sequence[str]) -> str:
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")
