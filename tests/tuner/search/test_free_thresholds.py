"""A threshold costs no training: scores of a trial answer for every other one that trains the same."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from optuna.trial import TrialState

from tests.tools.by_hand import DATA, FIXED, Search, arrays, space_of
from tests.tools.synthetic import pair_data
from trainable.config import Settings, TrialConfig
from trainable.metrics import thresholds
from trainable.model.backbones import BackboneSpec, create_backbone
from trainable.training.epoch_report import rejudged
from trainable.training.loop import Training, train
from trainable.trial import score_test_pairs
from tuner.inputs.space import examine
from tuner.results.checkpoints import Saved
from tuner.results.trial_record import best_of

pytestmark = pytest.mark.usefixtures("quiet_optuna", "one_thread")

THRESHOLD = 'return {"threshold": trial.suggest_float("threshold", -1.0, 1.0)}'
WITH_RATE = (
    'return {"learning_rate": trial.suggest_categorical("learning_rate", [1e-3, 3e-3]),'
    ' "threshold": trial.suggest_float("threshold", -1.0, 1.0)}'
)
LABELS = DATA.pair_label[DATA.rows("val")]


@pytest.mark.parametrize("metric", ["val_accuracy", "val_balanced_accuracy", "val_eer"])
def test_scores_judged_anew_are_what_training_reports(metric):
    """The slow way, training the trial with the other threshold, gives the same numbers to the bit."""
    data, backbone = pair_data(), create_backbone(BackboneSpec("test_byobnet", image_size_px=16))
    config = TrialConfig(epochs=2, batch_size=8, hidden_size=16, embedding_size=8, threshold=0.5)
    settings = Settings(metric=metric, threshold_is_searched=True)
    rows = data.rows("val")
    identities = data.front_identity[rows], data.angle_identity[rows]
    sources = list(train(config, backbone, data, settings))
    for threshold in (None, -0.2, 0.3, 0.9):
        other = dataclasses.replace(config, threshold=threshold)
        for source, slow in zip(sources, train(other, backbone, data, settings), strict=True):
            fast = rejudged(source.numbers(), source.scores, data.pair_label[rows], identities, other, settings)
            clock = {"epoch_s": slow.epoch_s, "validation_s": slow.validation_s}
            assert slow.same_as(dataclasses.replace(source, **fast | clock))


def test_the_threshold_space_trains_once(tmp_path):
    """Until the one training has ended nothing else is handed out; then all the others have ended at once."""
    run = Search(tmp_path, space_of(tmp_path, THRESHOLD), trials=9)
    trained = run.start()
    assert run.start() is None and run.answer is None
    run.run(trained, 0.5, 0.9, 0.7)
    assert run.start() is None and run.answer == "FINISHED"
    rows = sorted(run.tables.trial_rows(), key=lambda row: row["trial"])
    asked_for = [row for row in rows if not run.recorder.records[row["trial"]].is_extra]
    assert len(asked_for) == 9
    assert {row["replay_of"] for row in rows[1:]} == {0} and rows[0]["replay_of"] is None
    assert all(
        row["train_s"] == 0 and row["epochs"] == FIXED.epochs and row["state"] == "completed" for row in rows[1:]
    )
    for row in (row for row in rows[1:] if row["threshold_source"] == "searched"):
        scores = arrays(row["best_epoch"])["scores"]
        assert row["val_accuracy"] == row["objective"] == thresholds.accuracy_at(scores, LABELS, row["threshold"])
        assert np.array_equal(run.tables.read_scores(row["trial"])["score"], scores)
    told = {t.user_attrs["number"]: t.value for t in run.study.get_trials() if t.state == TrialState.COMPLETE}
    assert told == {row["trial"]: row["objective"] for row in rows}


def test_each_training_is_tried_at_the_threshold_that_its_scores_favour(tmp_path):
    """Beyond the trials that were asked for, and known to the sampler. It is judged at cross-fitted thresholds, as these pairs
    chose it."""
    run = Search(tmp_path, space_of(tmp_path, WITH_RATE), trials=1)
    run.run(run.start(), 0.5, 0.9, 0.7)
    assert run.start() is None and run.answer == "FINISHED"
    (extra,) = [record for record in run.recorder.records.values() if record.is_extra]
    scores = arrays(2)["scores"]  # of the epoch that the training is ranked by
    favoured = thresholds.best_threshold(scores, LABELS)
    rows = DATA.rows("val")
    identities = DATA.front_identity[rows], DATA.angle_identity[rows]
    fitted = {e: thresholds.cross_fitted(arrays(e)["scores"], LABELS, *identities) for e in (1, 2, 3)}
    assert extra.replay_of == 0 and extra.config.threshold == extra.best["threshold"] == favoured.value
    assert extra.best["val_accuracy"] == extra.best["objective"] == max(f.accuracy for f in fitted.values())
    assert extra.best_arrays["correct"].tolist() == fitted[extra.ranked_epoch].correct.tolist()
    assert extra.threshold_source == "favoured"
    assert run.frozen(extra.number).params["threshold"] == extra.config.threshold
    assert run.frozen(extra.number).state == TrialState.COMPLETE


def test_only_equal_trainings_wait_for_each_other(tmp_path):
    """A suggestion that trains something else is handed out while another waits."""
    run = Search(tmp_path, space_of(tmp_path, WITH_RATE), trials=20)
    first, second = run.start(), run.start()
    assert {first.config["config"].learning_rate, second.config["config"].learning_rate} == {1e-3, 3e-3}
    assert run.start() is None and run.answer is None
    for trial in (first, second):
        run.run(trial, 0.5, 0.9, 0.7)
    assert run.start() is None and run.answer == "FINISHED"
    assert len(run.tables.trial_rows()) == 22
    assert sum(row["replay_of"] is None for row in run.tables.trial_rows()) == 2


def test_what_waits_for_a_trial_that_fails_is_trained(tmp_path):
    """Its scores are not there to answer for the other."""
    run = Search(tmp_path, space_of(tmp_path, THRESHOLD), trials=3)
    trained = run.start()
    assert run.start() is None
    run.fail(trained, RuntimeError("broke"))
    other = run.start()
    assert other.config["number"] == 1
    run.run(other, 0.5, 0.9, 0.7)
    assert run.start() is None and run.answer == "FINISHED"
    states = {row["trial"]: (row["state"], row["replay_of"]) for row in run.tables.trial_rows()}
    assert states[0] == ("failed", None) and states[1] == ("completed", None) and states[2] == ("completed", 1)


@pytest.mark.parametrize("end", ["pruned", "sick"])
def test_a_training_that_ended_early_answers_too(tmp_path, end):
    """It would have ended likewise: what ends a trial early does not look at the threshold."""
    run = Search(tmp_path, space_of(tmp_path, THRESHOLD), trials=3)
    trained = run.start()
    if end == "pruned":
        run.run(trained, 0.5, 0.6, stop=True)
    else:
        run.run(trained, 0.5)
        run.report(trained, 0.5, sick="not finite: a loss is NaN")
    assert run.start() is None and run.answer == "FINISHED"
    assert [(row["state"], row["epochs"]) for row in run.tables.trial_rows()] == [(end, 2)] * 3


def test_a_resumed_run_reads_the_scores_of_its_trainings_from_their_saved_states(tmp_path):
    """Nothing is trained again for a threshold that was not asked for before."""
    space = space_of(tmp_path, THRESHOLD)
    first = Search(tmp_path, space, trials=2)
    first.run(first.start(), 0.5, 0.9, 0.7)
    assert first.start() is None and first.answer == "FINISHED"
    state = {"score_history": [torch.from_numpy(arrays(epoch)["scores"]) for epoch in (1, 2, 3)]}
    second = Search(tmp_path, space, trials=5, attempt=2, saved={0: Saved("where it was saved", state)})
    second.take_up()
    before = len(second.tables.trial_rows())
    assert second.start() is None and second.answer == "FINISHED"
    rows = second.tables.trial_rows()
    assert len(rows) == before + 3 and all(row["replay_of"] == 0 for row in rows[1:])


def test_other_spaces_keep_no_scores_and_train_every_trial(tmp_path):
    """Where the threshold is not searched nothing waits, nothing is replayed and nothing is tried beside."""
    space = space_of(tmp_path, 'return {"temperature": trial.suggest_float("temperature", 0.05, 0.5)}')
    run = Search(tmp_path, space, trials=3)
    for _ in range(3):
        run.run(run.start(), 0.5, 0.9, 0.7)
    assert run.start() is None and run.answer == "FINISHED"
    assert [row["replay_of"] for row in run.tables.trial_rows()] == [None] * 3


def test_weights_that_were_not_kept_are_trained_again():
    """Test scores of an epoch are the same from its weights and from a state that has another epoch's."""
    data, backbone = pair_data(), create_backbone(BackboneSpec("test_byobnet", image_size_px=16))
    config = TrialConfig(epochs=3, batch_size=8, hidden_size=16, embedding_size=8)
    training = Training(config, backbone, data, Settings())
    training.epoch()
    kept = {"best_epoch": 1, "best_encoder": training.encoder.trainable_state()}
    training.epoch()
    other = {"best_epoch": 2, "best_encoder": training.encoder.trainable_state()}
    from_weights = score_test_pairs(config, backbone, data, Settings(), kept, 1)
    assert np.array_equal(score_test_pairs(config, backbone, data, Settings(), other, 1), from_weights)
    assert not np.array_equal(score_test_pairs(config, backbone, data, Settings(), other, 2), from_weights)


def test_the_threshold_alone_is_ranked_by_accuracy(tmp_path):
    """AUC knows no threshold: by it all trials of the space would be equal. Where more is searched it ranks trainings."""
    alone, more = (
        examine(space_of(tmp_path, body, name), FIXED, 4) for body, name in ((THRESHOLD, "a"), (WITH_RATE, "b"))
    )
    assert [bound.ranked_by("val_auc") for bound in (alone, more)] == ["val_accuracy", "val_auc"]
    assert (
        alone.ranked_by("val_balanced_accuracy") == "val_balanced_accuracy" and more.ranked_by("val_eer") == "val_eer"
    )


def test_by_auc_the_most_accurate_threshold_of_the_best_training_wins(tmp_path):
    """Trials of one training have one AUC, whatever their thresholds."""
    run = Search(tmp_path, space_of(tmp_path, WITH_RATE), metric="val_auc", trials=12)
    first, second = run.start(), run.start()
    run.run(first, 0.5, 0.6, 0.7)
    run.run(second, 0.5, 0.9, 0.8)
    while run.start() is not None:
        pass
    records = list(run.recorder.records.values())
    of_best = [r for r in records if second.config["number"] in (r.number, r.replay_of)]
    assert len({round(r.best["objective"], 9) for r in of_best if r.replay_of is not None}) == 1
    winner = best_of([r for r in of_best if r.replay_of is not None], "val_auc")
    assert winner.best["val_accuracy"] == max(r.best["val_accuracy"] for r in of_best if r.replay_of is not None)
