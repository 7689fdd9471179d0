"""A column is declared once, beside its field: words, checks and help are made from that."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainable import columns
from trainable.columns import about, column, computed
from trainable.config import Losses, TrialConfig
from trainable.errors import InputError
from trainable.measures import METRICS, Validation, sign


@dataclass(frozen=True)
class Sample:
    """A field of each kind."""

    number: int = field(metadata=about("which `one`", key=True, stored_as="sample"))
    plain: str
    rate: float = column("how fast", "px", default=0.5, above=0, high=1)
    size: int = column("how large", default=4, low=2)
    angle: float | None = column("which way", "cosine", default=None, low=-1, high=1, none="any")
    names: list[str] = column("what for", default=list)

    @property
    @computed("twice the rate", "px")
    def double(self) -> float | None:
        """Twice the rate."""
        return 2 * self.rate


def test_fields_and_computed_properties_are_columns() -> None:
    """In their order, with type and default; what is not declared is none."""
    found = columns.of(Sample)
    assert list(found) == ["number", "rate", "size", "angle", "names", "double"]
    assert [said.kind for said in found.values()] == [int, float, int, float, list[str], float]
    assert [said.stored for said in found.values()] == ["sample", "rate", "size", "angle", "names", "double"]
    assert found["rate"].default == 0.5 and found["double"].unit == "px" and found["number"].key
    assert Sample(3, "x").names == [] and Sample(3, "x").double == 1.0


def test_valid_values_in_words() -> None:
    """As messages and the command line's help say them."""
    found = columns.of(Sample)
    assert found["rate"].valid == "a number above 0 and up to 1"
    assert found["size"].valid == "a whole number from 2"
    assert found["angle"].valid == "a cosine from -1 to 1, or none for any"
    assert found["number"].help == "Which one; a number."


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("rate", value) for value in (0, 1.01, math.nan, True, None, "1")),
        *(("size", value) for value in (1, 2.5, math.inf)),
        *(("angle", value) for value in (1.5, "any")),
    ],
)
def test_an_invalid_value_is_told_with_the_valid_ones(name: str, value: object) -> None:
    """Out of range, not finite, or no number at all."""
    said = columns.of(Sample)[name]
    with pytest.raises(InputError) as told:
        said.checked(value)
    assert f"{name} is {value!r}; valid is {said.valid}." in str(told.value)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**9), 10**9))
def test_what_is_checked_is_in_range(value: float) -> None:
    """Every number is either given back as it is, or refused, just as a plain comparison says."""
    found = columns.of(Sample)
    for name, holds in (("rate", 0 < value <= 1), ("size", value == int(value) >= 2), ("angle", -1 <= value <= 1)):
        if holds:
            assert found[name].checked(value) == value
        else:
            with pytest.raises(InputError):
                found[name].checked(value)


def test_every_hyperparameter_and_number_of_an_epoch_is_declared() -> None:
    """Nothing has a name and no meaning; defaults are valid."""
    for cls in (TrialConfig, Losses, Validation):
        assert list(columns.of(cls)) == [item.name for item in dataclasses.fields(cls)]
        assert all(said.meaning for said in columns.of(cls).values())
    for name, said in columns.of(TrialConfig).items():
        assert said.checked(said.default) == getattr(TrialConfig(), name)


def test_metrics_are_the_measures_with_a_better_direction() -> None:
    """No loss is one of them; an unknown metric counts as one of which more is better."""
    assert METRICS == {
        "val_accuracy": "max", "val_balanced_accuracy": "max", "val_auc": "max", "val_average_precision": "max",
        "val_eer": "min", "val_d_prime": "max", "val_recall_at_1": "max", "val_recall_at_5": "max",
        "val_recall_at_10": "max", "val_map": "max",
    }  # fmt: skip
    assert sign("val_eer") == -1 and sign("val_auc") == sign("mine") == sign(None) == 1


def test_a_later_hyperparameter_leaves_keys_of_the_first_ones_as_they_were() -> None:
    """The key is the seed of a trial: written down here, it must not move."""
    assert TrialConfig().training_key() == KEY
    assert dataclasses.replace(TrialConfig(), threshold=0.3).training_key() == KEY
    assert dataclasses.replace(TrialConfig(), temperature=0.3).training_key() != KEY


KEY = "e3034615b7287173"
