"""Where a run comes from: its plan, this code, these libraries, this cluster; for its first and last lines and its row."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainable.config import Choice
from trainable.data.splits import SPLITS
from trainable.measures import AT_A_THRESHOLD
from trainable.model.features import fingerprint, stored_as
from trainable.training.start import Start, Starts
from tuner.analysis.text import plural
from tuner.cli.run_options import HardwareOptions
from tuner.inputs.backbone import backbone_spec
from tuner.inputs.dataset import fingerprint_of, levels_text, resolved
from tuner.results.provenance import code, versions

if TYPE_CHECKING:
    from tuner.cluster.connection import Cluster, TrialResources
    from tuner.search.plan import Plan


def introduction(plan: Plan, cluster: Cluster, resources: TrialResources, precision: str) -> dict[str, str]:
    """What a person reads first: name and text of each line."""
    options, search = plan.options, plan.options.search
    counts = " / ".join(f"{len(plan.data.rows(split)):,}" for split in SPLITS)
    views = f" in {plan.data.views} views" if plan.data.views > 1 else ""
    folds = f" ({plan.data.fold_count} folds: trained on all, validated out of fold)" if plan.data.fold_count else ""
    size, blocks = plan.backbone_spec.image_size_px, plan.bound.blocks
    fit = "" if options.data.fit == "squash" else f", {options.data.fit}"
    others = f"; the space chooses among {len(plan.starts)} starts" if len(plan.starts) > 1 else ""
    return {
        "run": plan.run,
        "question": plan.space.question,
        "searched": ", ".join(plan.bound.searched),
        "data": f"{options.data.data}: {counts} pairs to train / validate / test{folds}, {plan.data.images:,} images{views}",
        "model": f"{options.model.backbone}, {blocks} blocks, weights {options.model.weights}, {size} px{fit}{others}",
        "search": f"{plural(search.trials, 'trial')} of up to {plural(options.configuration.epochs, 'epoch')}, "
        f"{search.sampler} suggests, "
        f"{search.scheduler} stops early, {_ranking(plan)}{_weighing(plan)}{_repeating(search.repeats)}",
        "hardware": f"{plural(cluster.nodes, 'node')}, {plural(int(cluster.cpus), 'CPU')}, {plural(int(cluster.gpus), 'GPU')}: "
        f"{plural(min(resources.concurrent, search.trials), 'trial')} at a time on {resources.device} in {precision}",
        "dashboard": " — ".join(
            filter(None, [cluster.dashboard_url or _no_dashboard(cluster, options.hardware), cluster.login])
        ),
        "results": plan.results_root,
    }


def _ranking(plan: Plan) -> str:
    """What trials are ranked by, and how those of one training are that differ in the threshold."""
    asked, metric, last = plan.options.search.metric, plan.metric, plan.options.search.rank_by == "last"
    ranked = f"ranked by {metric} at {'the last' if last else 'their best'} epoch"
    if metric != asked:
        return f"{ranked}, as {asked} knows no threshold"
    if "threshold" in plan.bound.searched and metric not in AT_A_THRESHOLD:
        return f"trainings {ranked}, those of one training by val_accuracy at their thresholds"
    return ranked


def _weighing(plan: Plan) -> str:
    """What counts beside the metric."""
    costs, limits = plan.objectives.costs, plan.objectives.limits
    weighed = f", against {' and '.join(costs)}" if costs else ""
    return weighed + (f", within {', '.join(map(str, limits))}" if limits else "")


def _repeating(repeats: int) -> str:
    return f"; then the leading trials and the default again with {repeats} seeds each" if repeats else ""


def _no_dashboard(cluster: Cluster, options: HardwareOptions) -> str:
    """Why there is none; the run goes on without."""
    if cluster.found:
        return "that of the Ray that was running"
    asked = options.address is None and not options.no_dashboard
    return "none: it did not start; the run does without" if asked else "none"


def whereabouts(root: str, run: str, study: Path, wall_s: float) -> dict[str, str]:
    """What a person reads last: where the results lie, and how to look at them."""
    trials, this_run = f"{root}/trials", f"run == {run!r}"
    return {
        "results": f"{root}   ({wall_s:.0f} s in all)",
        "pandas": f"pandas.read_parquet({trials!r}).query({this_run!r})",
        "study": f"optuna-dashboard {study}",
    }


def of_plan(plan: Plan) -> dict[str, Any]:
    """The columns of the `runs` table that the plan fixes."""
    options = plan.options
    return {f"{split}_pairs": len(plan.data.rows(split)) for split in SPLITS} | {
        "question": plan.space.question,
        "space_source": plan.space.source,
        "searched": list(plan.bound.searched),
        "space_ranges": plan.bound.ranges,
        "data": resolved(options.data.data),
        "data_fingerprint": plan.data_fingerprint,
        "backbone": options.model.backbone,
        "weights": plan.backbone_spec.weights,
        "backbone_fingerprint": fingerprint(plan.backbone),
        "image_size_px": plan.backbone_spec.image_size_px,
        "input_mean": list(plan.backbone.mean),
        "input_std": list(plan.backbone.std),
        "fit": options.data.fit,
        "levels": levels_text(plan.dataset.scales),
        "folds": plan.data.fold_count,
        "views": plan.data.views,
        "view_strength": plan.bound.origin(plan.bound.choices[0]).view_strength,
        "metric": plan.metric,
        "rank_by": options.search.rank_by,
        "threshold_for": options.search.threshold_for,
        "keep_sick": options.search.keep_sick,
        "objectives": [plan.metric, *plan.objectives.costs] if plan.objectives.costs else None,
        "limits": [str(limit) for limit in plan.objectives.limits] or None,
        "sampler": options.search.sampler,
        "scheduler": options.search.scheduler,
        "seed": options.configuration.seed,
        "repeats_requested": options.search.repeats,
        "trials_requested": options.search.trials,
    }


def of_starts(plan: Plan, starts: Starts) -> dict[str, Any]:
    """The columns of the `runs` table that say what trials started from: the run's own, and what they chose in its place."""
    own, *others = starts
    chosen = [_of_start(plan, choice, starts[choice]) for choice in others]
    return of_features(starts[own].data.features) | {"chosen_starts": json.dumps(chosen) if chosen else None}


def of_features(stored: Mapping[int, np.ndarray]) -> dict[str, Any]:
    """The columns of the `runs` table that say which features trials started from."""
    halves = [cut for cut in sorted(stored) if stored[cut].dtype == np.float16]
    return {"feature_precision": stored_as(stored), "feature_cuts": sorted(stored), "half_cuts": halves}


def _of_start(plan: Plan, choice: Choice, start: Start) -> dict[str, Any]:
    """What is other than the run's row says for trials of this choice: by its columns, and under `choice` the choice."""
    origin, options = plan.bound.origin(choice), plan.options
    spec = backbone_spec(options.data, options.model, origin.backbone, origin.image_size_px)
    return {
        "choice": choice,
        **origin._asdict(),
        **of_features(start.data.features),
        "weights": spec.weights,
        "backbone_fingerprint": fingerprint(start.backbone),
        "data_fingerprint": fingerprint_of(plan.table, start.data.fingerprint),
        "input_mean": list(start.backbone.mean),
        "input_std": list(start.backbone.std),
    }


def of_machine(cluster: Cluster, resources: TrialResources) -> dict[str, Any]:
    """The columns of the `runs` table that code, libraries and hardware fix."""
    commit, dirty = code()
    return {
        "git_commit": commit,
        "git_dirty": dirty,
        "versions": versions(),
        "device": resources.device,
        "trial_cpus": resources.cpus,
        "hostname": socket.gethostname(),
        "cluster_nodes": cluster.nodes,
        "cluster_cpus": cluster.cpus,
        "cluster_gpus": cluster.gpus,
    }
