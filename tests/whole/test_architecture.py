"""The import rules of the design, documentation of everything public, and a command line that answers at once."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools import tree
from tests.tools.tree import parsed

ROOT = Path(__file__).parents[2]
PACKAGES = ("benchmarks", "search_spaces", "trainable", "tuner")
HEAVY = ("torch", "timm", "ray", "optuna", "sklearn", "scipy", "pandas", "pyarrow", "numpy")


def files(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    """trainable/training.py is trainable.training, trainable/__init__.py is trainable."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """Every module imported anywhere in the file, in functions too; `from a import b` counts as a and a.b."""
    found: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def roots(path: Path) -> set[str]:
    return {module.partition(".")[0] for module in imports(path)}


MODULES = {name_of(path): path for path in files(*PACKAGES)}
PRODUCT = {name_of(path): path for path in files("search_spaces", "trainable", "tuner")}


def test_search_spaces_import_only_the_standard_library_and_optuna():
    """A user's space is a copy of one of these: it needs nothing of ours."""
    allowed = set(sys.stdlib_module_names) | {"optuna"}
    odd = {name_of(path): sorted(roots(path) - allowed) for path in files("search_spaces") if roots(path) - allowed}
    assert not odd


def test_trainable_knows_nothing_of_the_search():
    """One trial runs in a notebook, or under another tuner."""
    others = {"tuner", "search_spaces", "benchmarks", "optuna"}
    assert not {name_of(path) for path in files("trainable") if roots(path) & others}


def test_ray_is_imported_where_trials_run_and_nowhere_else():
    """Training needs no cluster, and neither does reading what came of it."""
    allowed = ("trainable.trial", "tuner.cluster.", "tuner.search.")
    assert not [name for name, path in PRODUCT.items() if "ray" in roots(path) and not name.startswith(allowed)]


def test_optuna_is_imported_by_the_search_and_what_binds_its_space():
    """The rest knows configurations, not how they are proposed."""
    allowed = ("search_spaces", "tuner.search.", "tuner.inputs.bound_space")
    assert not [name for name, path in PRODUCT.items() if "optuna" in roots(path) and not name.startswith(allowed)]


ROOMS = {
    "trainable": {
        "errors": "",
        "memory": "",
        "process": "",
        "columns": "errors",
        "measures": "columns",
        "objectives": "errors measures",
        "mapped": "",
        "config": "columns errors measures",
        "findings": "errors",
        "data": "errors findings mapped",
        "model": "config errors process",
        "diagnosis": "config",
        "metrics": "data",
        "training": "data model metrics diagnosis mapped memory",
        "checks": "data model metrics training mapped",
        "trial": "training model data process",
    },
    "tuner": {
        "cli": "",
        "results": "",
        "inputs": "cli",
        "cluster": "cli",
        "analysis": "results",
        "reporting": "analysis results inputs cli",
        "stored": "analysis results inputs cli",
        "search": "cli results inputs cluster analysis reporting",
        "examination": "inputs reporting cli",
    },
}
"""Which rooms each room may import, from the lowest floor up. A door, a file in `tuner/`, may import any room."""
EVERYWHERE = {"errors", "columns", "measures", "config", "findings", "objectives"}


def room_of(module: str) -> str:
    """The second word of a module's name; empty for a package itself."""
    return [*module.split("."), ""][1]


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_import_only_the_rooms_below_them(package):
    """The plan of the house: what a room may know is written down, and nothing else."""
    table = {room: {*allowed.split(), room} for room, allowed in ROOMS[package].items()}
    strangers = [
        f"{name} imports {module}"
        for name, path in PRODUCT.items()
        if name.startswith(f"{package}.") and room_of(name) in table
        for module in imports(path)
        if module.startswith(f"{package}.")
        and module in {*PRODUCT, *(f"{package}.{room}" for room in table)}
        and room_of(module) not in table[room_of(name)] | (EVERYWHERE if package == "trainable" else set())
    ]
    assert not strangers


@pytest.mark.parametrize("package", ROOMS)
def test_every_module_is_in_a_room_or_a_door(package):
    """A file beside the rooms of tuner/ is a command, or the way in from Python; of trainable/ it is a room of its own."""
    doors = {"run", "doctor", "explain", "compare", "report", "export", "replay"} if package == "tuner" else set()
    doors |= {"api", "__main__"} if package == "tuner" else set()
    assert {room_of(name) for name in PRODUCT if name.startswith(f"{package}.")} <= {*ROOMS[package], *doors}


def test_a_room_is_seen_at_a_glance():
    """At most 14 modules in a room, 20 entries in tuner/, 300 lines in a file."""
    rooms = Counter(path.parent for path in PRODUCT.values() if path.stem != "__init__")
    assert max(rooms.values()) <= 14
    assert len([entry for entry in (ROOT / "tuner").iterdir() if entry.name != "__pycache__"]) <= 20
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in PRODUCT.items()}
    assert not [name for name, count in lines.items() if count > 300]


COVERED_BY = {
    "trainable.checks.model_checks": "tests/trainable/checks/test_first_steps.py",
    "trainable.checks.peak_memory": "tests/trainable/checks/test_first_steps.py",
    "trainable.config": "tests/search_spaces/test_spaces.py",
    "trainable.data.decoder": "tests/trainable/data/test_images.py",
    "trainable.data.pairs": "tests/trainable/data/test_read_pairs.py",
    "trainable.data.splits": "tests/trainable/data/test_read_pairs.py",
    "trainable.data.tables": "tests/trainable/data/test_read_pairs.py",
    "trainable.data.turntable_renderer": "tests/trainable/data/test_turntable.py",
    "trainable.diagnosis.collapse": "tests/trainable/diagnosis/test_diagnose.py",
    "trainable.diagnosis.history": "tests/trainable/diagnosis/test_diagnose.py",
    "trainable.diagnosis.loss": "tests/trainable/diagnosis/test_diagnose.py",
    "trainable.diagnosis.remedies": "tests/trainable/diagnosis/test_diagnose.py",
    "trainable.diagnosis.separation": "tests/trainable/diagnosis/test_diagnose.py",
    "trainable.diagnosis.updates": "tests/trainable/diagnosis/test_diagnose.py",
    "trainable.errors": "tests/trainable/model/test_backbones.py",
    "trainable.findings": "tests/trainable/checks/test_data_checks.py",
    "trainable.measures": "tests/whole/test_examples.py",
    "trainable.model.blocks": "tests/trainable/model/test_encoder.py",
    "trainable.training.batches": "tests/trainable/training/test_loop.py",
    "trainable.training.checkpoint": "tests/on_ray/test_resume.py",
    "trainable.training.epoch_report": "tests/trainable/training/test_loop.py",
    "trainable.trial": "tests/on_ray/test_end_to_end.py",
    "tuner.__main__": "tests/tuner/test_verbs.py",
    "tuner.analysis.advice": "tests/tuner/reporting/test_answers.py",
    "tuner.analysis.dead_ends": "tests/tuner/reporting/test_answers.py",
    "tuner.analysis.leaderboard": "tests/tuner/reporting/test_comparison.py",
    "tuner.analysis.text": "tests/whole/test_examples.py",
    "tuner.cli.compare_options": "tests/tuner/reporting/test_comparison.py",
    "tuner.cli.console": "tests/tuner/reporting/test_live_table.py",
    "tuner.cli.doctor_options": "tests/tuner/examination/test_before_training.py",
    "tuner.cli.explain_options": "tests/tuner/test_explain.py",
    "tuner.cli.parsing": "tests/tuner/cli/test_run_options.py",
    "tuner.cli.report_options": "tests/tuner/reporting/test_page.py",
    "tuner.cli.sampler_names": "tests/tuner/search/test_samplers.py",
    "tuner.cli.signals": "tests/tuner/search/test_searcher.py",
    "tuner.cli.values": "tests/tuner/cli/test_run_options.py",
    "tuner.cli.stored_options": "tests/tuner/stored/test_export.py",
    "tuner.cluster.connection": "tests/on_ray/test_cluster.py",
    "tuner.cluster.private_ray": "tests/on_ray/test_end_to_end.py",
    "tuner.cluster.shared_features": "tests/on_ray/test_sharing.py",
    "tuner.cluster.head_imports": "tests/tuner/cli/test_process.py",
    "tuner.cluster.worker_imports": "tests/tuner/cli/test_process.py",
    "tuner.compare": "tests/tuner/reporting/test_comparison.py",
    "tuner.doctor": "tests/tuner/examination/test_before_training.py",
    "tuner.export": "tests/tuner/stored/test_export.py",
    "tuner.replay": "tests/tuner/stored/test_reproduce.py",
    "tuner.report": "tests/tuner/reporting/test_page.py",
    "tuner.run": "tests/on_ray/test_end_to_end.py",
    "tuner.examination.log_columns": "tests/tuner/examination/test_log.py",
    "tuner.examination.log_findings": "tests/tuner/examination/test_log.py",
    "tuner.examination.judged_loss": "tests/tuner/examination/test_log_loss.py",
    "tuner.examination.stuck_loss": "tests/tuner/examination/test_log_loss.py",
    "tuner.examination.log_verdicts": "tests/tuner/examination/test_log.py",
    "tuner.examination.loss_kinds": "tests/tuner/examination/test_log_loss.py",
    "tuner.examination.reading.events": "tests/tuner/examination/reading/test_formats.py",
    "tuner.examination.reading.names": "tests/tuner/examination/reading/test_formats.py",
    "tuner.examination.reading.records": "tests/tuner/examination/reading/test_formats.py",
    "tuner.examination.reading.rows": "tests/tuner/examination/reading/test_formats.py",
    "tuner.examination.reading.runs": "tests/tuner/examination/reading/test_formats.py",
    "tuner.examination.reading.text": "tests/tuner/examination/reading/test_formats.py",
    "tuner.inputs.backbone": "tests/whole/test_bad_input.py",
    "tuner.inputs.bound_space": "tests/tuner/search/test_searcher.py",
    "tuner.inputs.space": "tests/search_spaces/test_spaces.py",
    "tuner.reporting.figures.scores": "tests/tuner/reporting/test_page.py",
    "tuner.reporting.figures.timeline": "tests/tuner/reporting/test_page.py",
    "tuner.reporting.figures.trials": "tests/tuner/reporting/test_page.py",
    "tuner.reporting.figures.wrong_pairs": "tests/tuner/reporting/test_page.py",
    "tuner.reporting.findings": "tests/tuner/examination/test_before_training.py",
    "tuner.reporting.sections": "tests/tuner/reporting/test_page.py",
    "tuner.results.checkpoints": "tests/on_ray/test_resume.py",
    "tuner.results.one_run": "tests/tuner/reporting/test_page.py",
    "tuner.results.provenance": "tests/tuner/stored/test_reproduce.py",
    "tuner.results.rows": "tests/tuner/results/test_schema.py",
    "tuner.results.store": "tests/tuner/results/test_tables.py",
    "tuner.results.writer": "tests/tuner/results/test_tables.py",
    "tuner.search.experiment": "tests/tuner/search/test_searcher.py",
    "tuner.search.final_scores": "tests/on_ray/test_end_to_end.py",
    "tuner.search.plan": "tests/whole/test_bad_input.py",
    "tuner.search.run_row": "tests/on_ray/test_end_to_end.py",
    "tuner.search.session": "tests/on_ray/test_end_to_end.py",
    "tuner.search.study": "tests/tuner/search/test_searcher.py",
    "tuner.stored.embed": "tests/tuner/stored/test_score.py",
    "tuner.stored.export_folder": "tests/tuner/stored/test_export.py",
    "tuner.stored.onnx_model": "tests/tuner/stored/test_export.py",
    "tuner.stored.trial": "tests/tuner/stored/test_reproduce.py",
}
"""The test that covers a module without a test file of its own name."""
MIRRORED = ("trainable", "tuner")
"""The packages whose modules must all have a test, of their own or in COVERED_BY."""


def own_test(module: str) -> Path:
    """tests/trainable/data/test_pairs.py for trainable.data.pairs."""
    *rooms, name = module.split(".")
    return ROOT.joinpath("tests", *rooms, f"test_{name}.py")


def test_every_module_has_a_test_of_its_name_or_is_covered_by_a_named_one():
    """Whoever changes a module knows which file to run; the list holds nothing that is not needed."""
    alone = {
        name
        for name, path in PRODUCT.items()
        if name.startswith(tuple(f"{package}." for package in MIRRORED))
        and path.stem != "__init__"
        and not own_test(name).is_file()
    }
    assert alone == {name for name in COVERED_BY if name.startswith(MIRRORED)}
    assert not [file for file in COVERED_BY.values() if not (ROOT / file).is_file()]


def imported_with(module: str) -> set[str]:
    """All that importing a module of ours imports: what is at the top of its file, and of the files of ours behind it."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        for node in parsed(MODULES[waiting.pop()]).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module, *(f"{node.module}.{name}" for name in names)]
            waiting += [name for name in names if name in MODULES and name not in found]
            found |= set(names)
    return found


@pytest.mark.parametrize("module", ["tuner.stored.reproduce", "tuner.stored.export"])
def test_what_needs_no_cluster_imports_no_ray(module):
    """A trial is trained again, or exported, as a notebook would do it: neither Ray nor Optuna is loaded."""
    assert "torch" in imported_with(module), "the imports were read"
    assert not {name.partition(".")[0] for name in imported_with(module)} & {"ray", "optuna"}


def test_tests_and_benchmarks_are_imported_by_nothing():
    """What runs does not depend on what checks it."""
    assert not {name_of(path) for path in files(*PACKAGES) if roots(path) & {"tests", "conftest"}}
    assert not {name_of(path) for path in files("search_spaces", "trainable", "tuner") if "benchmarks" in roots(path)}


def cycle_in(graph: dict[str, set[str]]) -> list[str]:
    """A list of modules, each importing the next and the last the first; empty if there is no cycle."""
    done: set[str] = set()

    def visit(module: str, trail: list[str]) -> list[str]:
        if module in trail:
            return trail[trail.index(module) :]
        if module in done:
            return []
        for following in sorted(graph[module]):
            if found := visit(following, [*trail, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(graph) if (found := visit(module, []))), [])


def test_no_import_cycle_anywhere():
    """Imports inside functions count as well: they would hide a cycle, not dissolve it."""
    graph = {name: {*imports(path)} & MODULES.keys() - {name} for name, path in MODULES.items()}
    assert sum(map(len, graph.values())) > 30, "the graph was read"
    assert graph["tuner"] == {"tuner.api"}  # which it loads when it is asked for; everything here names the package
    graph["tuner"] = set()
    assert cycle_in(graph) == []


def test_the_cycle_finder_finds_cycles():
    """Through several modules, and beside a branch that has none."""
    assert cycle_in({"a": {"b", "d"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["b", "c"]
    assert cycle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_module_is_named_for_nothing():
    """A module's name says what is in it."""
    empty = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not empty & {path.stem for path in files(*PACKAGES, "tests")}


def undocumented(tree: ast.Module) -> Iterator[str]:
    """Public modules, functions, classes and their public methods without a docstring.

    A method that overrides one of a class from elsewhere inherits its description.
    """
    if not ast.get_docstring(tree):
        yield "the module"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield node.name
            if isinstance(node, ast.ClassDef) and not node.bases:
                methods = [item for item in node.body if isinstance(item, ast.FunctionDef)]
                yield from (f"{node.name}.{m.name}" for m in methods if m.name[0] != "_" and not ast.get_docstring(m))


@pytest.mark.parametrize("path", files(*PACKAGES), ids=name_of)
def test_everything_public_has_a_docstring(path):
    """Module, functions, classes and methods."""
    assert not list(undocumented(parsed(path)))


@pytest.mark.parametrize("path", [p for p in files("tests") if p.stem.startswith("test_")], ids=name_of)
def test_every_test_states_the_behaviour(path):
    """The tests read as a specification: a module docstring, and one for every test."""
    silent = [
        node.name
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert not silent and ast.get_docstring(parsed(path))


def test_the_tree_in_the_documentation_is_the_one_there_is():
    """Each module stands there with what its docstring says of it; `python -m tests.tools.tree` writes it anew."""
    assert tree.FILE.read_text(encoding="utf-8") == tree.text()


_COMMAND = f"""
import sys
try:
    sys.argv = ["tuner.run", *sys.argv[1:]]
    from tuner.run import main
    code = main()
except SystemExit as end:
    code = end.code
heavy = [name for name in {HEAVY!r} if name in sys.modules]
sys.exit(f"imported: {{heavy}}" if heavy else code)
"""


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the front door; it fails, naming them, if anything heavy was imported."""
    line = [sys.executable, "-c", _COMMAND, *arguments]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)


def test_help_imports_nothing_heavy():
    """Asking how the command works does not wait for torch, Ray, Optuna or anything else that loads slowly."""
    asked = command("--help")
    assert asked.returncode == 0, asked.stderr
    assert "--space" in asked.stdout and "--trials" in asked.stdout and "--temperature" in asked.stdout


def test_a_mistyped_option_is_told_without_a_heavy_import():
    """A wrong choice exits with 2 as fast as help does."""
    asked = command("--sampler", "nonsense")
    assert asked.returncode == 2
    assert "nonsense" in asked.stderr and "tpe" in asked.stderr
