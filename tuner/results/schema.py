"""What the result tables hold: every column's type, unit, meaning and whether it can be missing."""

from __future__ import annotations

import re

import pyarrow as pa

SCHEMA_VERSION = 2
"""Written into every file. It rises when a column changes its name, type or meaning, not when one is added; what then makes
an older file one of today is in tuner/results/reading.py."""

PARTITIONS = pa.schema([("space", pa.string()), ("run", pa.string())])
"""Directories, `space=…/run=…`: never columns in a file, they come back on reading."""

PART_FILE, SCORES_FILE = "part-0.parquet", "trial-{:05d}.parquet"
"""Names of a run's files: of `scores` one a trial, of every other table one."""
OWN_FILE = re.compile(r"(part-0|trial-\d+)\.parquet")
"""What such a name looks like; a file of another name is none of a run's."""

_INT, _FLOAT, _TEXT, _BOOL = pa.int64(), pa.float64(), pa.string(), pa.bool_()
_TEXTS, _FLOATS, _INTS, _TIME = pa.list_(_TEXT), pa.list_(_FLOAT), pa.list_(_INT), pa.timestamp("us", tz="UTC")

# A row of these lists: name, type, unit, meaning. A name that ends in ! is never null.
_CONFIGURATION = [
    ("learning_rate", _FLOAT, "", "AdamW's learning rate of the projection head"),
    ("temperature", _FLOAT, "", "InfoNCE's temperature tau"),
    ("threshold", _FLOAT, "cosine", "the threshold used, given or solved: at and above it a pair counts as the same"),
    ("threshold_source", _TEXT, "", "where the threshold is from: `searched`, `fixed` or `solved`"),
    ("trainable_blocks", _INT, "blocks", "the last so many backbone blocks were trained, up to all of them"),
    ("backbone_lr_ratio", _FLOAT, "", "learning rate of the trained backbone blocks over that of the head"),
    ("max_epochs", _INT, "epochs", "epochs that the trial was allowed; `epochs` is how many it ran"),
    ("batch_size", _INT, "pairs", "pairs in a batch"),
    ("weight_decay", _FLOAT, "", "AdamW's decoupled weight decay"),
    ("warmup_epochs", _FLOAT, "epochs", "linear warm-up of the learning rate"),
    ("consistency_weight", _FLOAT, "", "weight of the consistency loss in the total loss"),
    ("negative_weight", _FLOAT, "", "weight of the negative-pair loss in the total loss"),
    ("negative_margin", _FLOAT, "cosine", "below it a negative pair costs nothing"),
    ("embedding_size", _INT, "", "width of the embedding"),
    ("hidden_size", _INT, "", "width of the head's hidden layer; 0 is a linear head"),
    ("seed", _INT, "", "seed of the trial's initial weights and batches"),
]

_METRICS = [
    ("val_accuracy", _FLOAT, "0 to 1", "share of validation pairs told right; cross-fitted if `threshold` is solved"),
    ("val_accuracy_solved", _FLOAT, "0 to 1", "the same with the solved threshold, whatever the trial's; cross-fitted"),
    ("val_auc", _FLOAT, "0 to 1", "area under the validation ROC curve, half credit for ties"),
    ("val_eer", _FLOAT, "0 to 1", "equal error rate; lower is better"),
    ("val_average_precision", _FLOAT, "0 to 1", "average precision of the positive pairs"),
    ("val_balanced_accuracy", _FLOAT, "0 to 1", "mean of the accuracies on positive and on negative pairs"),
    ("val_tar_at_far_1e1", _FLOAT, "0 to 1", "positives accepted where 1 of 10 negatives is; null with fewer"),
    ("val_tar_at_far_1e2", _FLOAT, "0 to 1", "positives accepted where 1 of 100 negatives is; null with fewer"),
    ("val_tar_at_far_1e3", _FLOAT, "0 to 1", "positives accepted where 1 of 1000 negatives is; null with fewer"),
    ("val_d_prime", _FLOAT, "", "distance of positive and negative mean score in standard deviations"),
    ("contrastive_loss", _FLOAT, "nats", "InfoNCE, mean over the epoch's training batches; at least 0"),
    ("chance_loss", _FLOAT, "nats", "`contrastive_loss` at chance: mean of ln(positives + negatives) an anchor"),
    ("consistency_loss", _FLOAT, "", "mean of 1 - cosine over positive training pairs, 0 to 2"),
    ("negative_loss", _FLOAT, "", "mean of relu(cosine - negative_margin)² over negative training pairs"),
    ("total_loss", _FLOAT, "", "the weighted sum that was minimised"),
    ("positive_similarity", _FLOAT, "cosine", "mean score of the positive validation pairs"),
    ("negative_similarity", _FLOAT, "cosine", "mean score of the negative validation pairs"),
    ("similarity_gap", _FLOAT, "cosine", "`positive_similarity` minus `negative_similarity`"),
    ("feature_std", _FLOAT, "", "spread of the embeddings: 1 when even, 0 when collapsed"),
]

_RUNS = [
    (
        "state!",
        _TEXT,
        "",
        "`running`, `finished`, `interrupted` or `failed`; `results.runs` says `dead` of one that was killed while running",
    ),
    ("started_at", _TIME, "UTC", "when the run was started first"),
    ("ended_at", _TIME, "UTC", "when the run ended; null while it is running or if it was killed"),
    ("wall_s", _FLOAT, "s", "wall time of the run and its resumptions; of an attempt that was killed nothing is known"),
    ("command", _TEXT, "", "the command line that started it"),
    ("question", _TEXT, "", "the question that the space asks"),
    ("space_source", _TEXT, "", "the whole text of the space's file"),
    ("searched", _TEXTS, "", "the parameters that the space varies"),
    ("data", _TEXT, "", "where the pairs are from"),
    ("data_fingerprint", _TEXT, "", "hash of the pairs and their split; equal ones may be compared"),
    ("train_pairs", _INT, "pairs", "training pairs"),
    ("val_pairs", _INT, "pairs", "validation pairs"),
    ("test_pairs", _INT, "pairs", "test pairs"),
    ("backbone", _TEXT, "", "timm's name of the backbone"),
    ("weights", _TEXT, "", "`none`, `pretrained` or the file"),
    ("backbone_fingerprint", _TEXT, "", "hash of the backbone that trials start from: tensors, size, normalisation"),
    ("image_size_px", _INT, "px", "edge of the square images"),
    ("input_mean", _FLOATS, "0 to 1", "mean of red, green and blue to normalise with"),
    ("input_std", _FLOATS, "0 to 1", "standard deviation of red, green and blue to normalise with"),
    ("views", _INT, "", "views of each image that training draws from, the plain one included"),
    ("metric", _TEXT, "", "what the trials are ranked by"),
    ("keep_sick", _BOOL, "", "whether trials trained on after a diagnosis that calls them hopeless"),
    ("sampler", _TEXT, "", "what proposes configurations"),
    ("scheduler", _TEXT, "", "what stops trials early"),
    ("seed", _INT, "", "seed of the run, from which each trial's is derived"),
    ("trials_requested", _INT, "trials", "trials asked for, all resumptions together"),
    ("trials_done", _INT, "trials", "trials that have a row in `trials`"),
    ("git_commit", _TEXT, "", "commit of the code; null outside a git checkout"),
    ("git_dirty", _BOOL, "", "whether the checkout had changes that are not in the commit"),
    ("versions", pa.map_(_TEXT, _TEXT), "", "version of Python and of each library that matters"),
    ("device", _TEXT, "", "`cpu` or the accelerator's name"),
    ("precision", _TEXT, "", "number format of the training"),
    ("feature_precision", _TEXT, "", "number format of the stored features; null where none are stored"),
    ("feature_cuts", _INTS, "blocks", "values of `trainable_blocks` whose features were stored"),
    ("half_cuts", _INTS, "blocks", "those of them that were stored in fp16"),
    ("trial_cpus", _INT, "CPUs", "CPU cores, and threads, of each trial"),
    ("hostname", _TEXT, "", "machine of the driver"),
    ("cluster_nodes", _INT, "nodes", "nodes of the cluster at the start"),
    ("cluster_cpus", _FLOAT, "CPUs", "CPUs of the cluster at the start"),
    ("cluster_gpus", _FLOAT, "GPUs", "GPUs of the cluster at the start"),
    ("winner_trial", _INT, "", "the trial with the best `objective`"),
    ("threshold_winner", _FLOAT, "cosine", "the winner's threshold on test pairs, fixed on validation pairs"),
    ("threshold_default", _FLOAT, "cosine", "the default's threshold on test pairs, fixed on validation pairs"),
    ("test_accuracy_winner", _FLOAT, "0 to 1", "the winner's accuracy on test pairs"),
    ("test_accuracy_winner_low", _FLOAT, "0 to 1", "lower end of its 95 % interval, by bootstrap of identities"),
    ("test_accuracy_winner_high", _FLOAT, "0 to 1", "upper end of the same interval"),
    ("test_accuracy_default", _FLOAT, "0 to 1", "the default configuration's accuracy on test pairs"),
    ("test_accuracy_default_low", _FLOAT, "0 to 1", "lower end of its 95 % interval, by bootstrap of identities"),
    ("test_accuracy_default_high", _FLOAT, "0 to 1", "upper end of the same interval"),
    ("test_difference", _FLOAT, "-1 to 1", "accuracy on test pairs, the winner's minus the default's"),
    ("test_difference_low", _FLOAT, "-1 to 1", "lower end of its 95 % interval, both on the same resamples"),
    ("test_difference_high", _FLOAT, "-1 to 1", "upper end of the same interval"),
    ("threshold_default_solved", _FLOAT, "cosine", "a threshold solved for the default's model on validation pairs"),
    ("test_accuracy_default_solved", _FLOAT, "0 to 1", "the default's accuracy on test pairs with that threshold"),
    (
        "test_accuracy_default_solved_low",
        _FLOAT,
        "0 to 1",
        "lower end of its 95 % interval, by bootstrap of identities",
    ),
    ("test_accuracy_default_solved_high", _FLOAT, "0 to 1", "upper end of the same interval"),
    ("test_difference_solved", _FLOAT, "-1 to 1", "the winner's accuracy minus the default's with that threshold"),
    ("test_difference_solved_low", _FLOAT, "-1 to 1", "lower end of its 95 % interval, both on the same resamples"),
    ("test_difference_solved_high", _FLOAT, "-1 to 1", "upper end of the same interval"),
    ("test_auc_winner", _FLOAT, "0 to 1", "the winner's area under the ROC curve of the test pairs"),
    ("test_auc_winner_low", _FLOAT, "0 to 1", "lower end of its 95 % interval, by bootstrap of identities"),
    ("test_auc_winner_high", _FLOAT, "0 to 1", "upper end of the same interval"),
    ("test_auc_default", _FLOAT, "0 to 1", "the default's area under the ROC curve of the test pairs"),
    ("test_auc_default_low", _FLOAT, "0 to 1", "lower end of its 95 % interval, by bootstrap of identities"),
    ("test_auc_default_high", _FLOAT, "0 to 1", "upper end of the same interval"),
    ("test_identities", _INT, "identities", "things that the test pairs show; the intervals resample these"),
    ("error", _TEXT, "", "why the run failed"),
]

_TRIALS = [
    ("trial!", _INT, "", "number of the trial in its run, from 0"),
    ("state!", _TEXT, "", "`completed`, `pruned` (stopped early), `sick` (stopped by a diagnosis) or `failed`"),
    ("is_default", _BOOL, "", "whether this is the default configuration that every run tries first"),
    ("objective", _FLOAT, "", "what trials rank by: `metric`; at the solved threshold, unless it is searched"),
    *_CONFIGURATION,
    *_METRICS,
    ("val_accuracy_low", _FLOAT, "0 to 1", "lower end of the 95 % interval of `val_accuracy`, identities resampled"),
    ("val_accuracy_high", _FLOAT, "0 to 1", "upper end of the same interval"),
    ("best_epoch", _INT, "", "the epoch that the metrics above are from, counted from 1"),
    ("epochs", _INT, "epochs", "epochs trained"),
    ("train_s", _FLOAT, "s", "time spent training and validating"),
    ("wait_s", _FLOAT, "s", "the rest of the time between `started_at` and `ended_at`: queue, worker, data"),
    ("started_at", _TIME, "UTC", "when its configuration was suggested"),
    ("ended_at", _TIME, "UTC", "when the trial ended"),
    ("completion_order", _INT, "", "its place in the order in which the run's trials ended, from 0"),
    ("retries", _INT, "", "how often it was started again after an error"),
    (
        "replay_of",
        _INT,
        "",
        "the trial whose scores answered for this one, which differs in the threshold only; or null",
    ),
    ("node", _TEXT, "", "cluster node that ran it"),
    ("checkpoint", _TEXT, "", "folder of its model; null if none was kept"),
    ("error", _TEXT, "", "the error that failed it"),
    ("diagnoses", _TEXTS, "", "names of the sicknesses found; empty is healthy, null was never checked"),
]

_EPOCHS = [
    ("trial!", _INT, "", "number of the trial in its run"),
    ("epoch!", _INT, "", "counted from 1"),
    ("objective", _FLOAT, "", "what the epoch ranks by, as in `trials`"),
    ("threshold", _FLOAT, "cosine", "the threshold used after this epoch, given or solved"),
    *_METRICS,
    ("learning_rate", _FLOAT, "", "the head's learning rate at the end of the epoch"),
    ("grad_norm", _FLOAT, "", "norm of the whole gradient, mean over the epoch's steps"),
    ("mean_cosine", _FLOAT, "cosine", "mean cosine of validation embeddings of different identities; 1 when collapsed"),
    ("uniformity", _FLOAT, "", "log mean exp(-2 distance²) of the embeddings: about -3.9 when even, 0 when collapsed"),
    ("rank_raw", _FLOAT, "", "RankMe: dimensions that the embeddings use, a common direction included"),
    ("rank_centred", _FLOAT, "", "RankMe of the embeddings less their mean"),
    ("rank_limit", _INT, "", "the most that `rank_raw` and `rank_centred` can be"),
    ("score_low", _FLOAT, "cosine", "the lowest validation score"),
    ("score_high", _FLOAT, "cosine", "the highest validation score"),
    ("scores_tied", _FLOAT, "0 to 1", "share of validation scores that another one equals exactly"),
    ("scores_tied_exact", _FLOAT, "0 to 1", "the same, these scores computed anew in full precision"),
    ("head_grad_norm", _FLOAT, "", "norm of the head's gradient at the epoch's middle step"),
    ("backbone_grad_norm", _FLOAT, "", "the same of the trained blocks; null if there are none"),
    ("head_update_ratio", _FLOAT, "", "norm of that step over the norm of the head's weights; null if it was skipped"),
    ("backbone_update_ratio", _FLOAT, "", "the same of the trained blocks; null if there are none"),
    ("head_growth", _FLOAT, "", "norm of the head's weights at that step over what it was when the trial began"),
    ("backbone_growth", _FLOAT, "", "the same of the trained blocks; null if there are none"),
    (
        "negative_pull",
        _FLOAT,
        "",
        "how much its loss pulls label 0 pairs together, over the same of label 1; healthy is below 0",
    ),
    ("frozen_moved", _INT, "tensors", "frozen tensors that changed since the trial began; healthy is 0"),
    ("epoch_s", _FLOAT, "s", "time of the epoch, validation included"),
    ("validation_s", _FLOAT, "s", "time of its validation"),
    ("diagnoses", _TEXTS, "", "names of the sicknesses found after this epoch"),
]

_SCORES = [
    ("trial!", _INT, "", "number of the trial in its run"),
    ("epoch!", _INT, "", "the trial's best epoch, which the scores are from"),
    ("pair!", _INT, "", "index of the validation pair in the pair table"),
    ("score!", pa.float32(), "cosine", "similarity of the pair's two embeddings"),
    ("pair_label!", pa.int8(), "", "1 shows the same thing, 0 different things"),
    ("correct", _BOOL, "", "whether the pair was classified correctly, as `val_accuracy` counts it"),
]


def _schema(table: str, columns: list[tuple[str, pa.DataType, str, str]]) -> pa.Schema:
    fields = [
        pa.field(name.rstrip("!"), kind, not name.endswith("!"), {"description": meaning, "unit": unit})
        for name, kind, unit, meaning in columns
    ]
    return pa.schema(fields, {"table": table, "schema_version": str(SCHEMA_VERSION)})


SCHEMAS: dict[str, pa.Schema] = {
    "runs": _schema("runs", _RUNS),
    "trials": _schema("trials", _TRIALS),
    "epochs": _schema("epochs", _EPOCHS),
    "scores": _schema("scores", _SCORES),
}


def dictionary(table: str) -> str:
    """The table's columns as Markdown, exactly as results/README.md shows them."""
    lines = ["| column | type | unit | null | meaning |", "|---|---|---|---|---|"]
    for field in SCHEMAS[table]:
        unit, meaning = (field.metadata[key].decode() for key in (b"unit", b"description"))
        null = "can be" if field.nullable else "never"
        lines.append(f"| `{field.name}` | {_type_name(field.type)} | {unit} | {null} | {meaning} |")
    return "\n".join(lines)


def _type_name(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_type_name(kind.value_type)}"
    if pa.types.is_map(kind):
        return f"map of {_type_name(kind.key_type)} to {_type_name(kind.item_type)}"
    if pa.types.is_timestamp(kind):
        return "timestamp"
    return {"double": "float64", "float": "float32"}.get(str(kind), str(kind))
