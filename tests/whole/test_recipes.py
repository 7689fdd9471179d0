"""The recipes of docs/recipes/, checked as far as that goes without Docker, Kubernetes, Slurm and other machines."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from setuptools import find_packages

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "docs" / "recipes"
AUTOSCALER = Path(find_spec("ray").origin).parent / "autoscaler"
INSTALLED = "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e ."


def recipe(name: str) -> Any:
    return yaml.safe_load((RECIPES / name).read_text(encoding="utf-8"))


def test_every_recipe_is_told_of_and_installs_as_the_readme_does() -> None:
    """docs/cluster.md links each of them, and there is one way to install."""
    page, readme = ((ROOT / name).read_text(encoding="utf-8") for name in ("docs/cluster.md", "README.md"))
    names = sorted(file.name for file in RECIPES.iterdir())
    assert names == ["Dockerfile", "cluster.yaml", "rayjob.yaml", "slurm.sh"]
    assert all(f"](recipes/{name})" in page for name in names)
    assert INSTALLED in readme
    assert INSTALLED in (RECIPES / "Dockerfile").read_text(encoding="utf-8")
    assert any(INSTALLED in line for line in recipe("cluster.yaml")["setup_commands"])


def test_the_cluster_file_is_what_ray_up_takes() -> None:
    """By the schema in Ray's own package, which knows every field; with Ray's defaults for machines reached by ssh."""
    given = recipe("cluster.yaml")
    schema = json.loads((AUTOSCALER / "ray-schema.json").read_text(encoding="utf-8"))
    defaults = yaml.safe_load((AUTOSCALER / "local" / "defaults.yaml").read_text(encoding="utf-8"))
    jsonschema.validate(given, schema)
    jsonschema.validate(defaults | given, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(given | {"setup_comands": []}, schema)
    starts = [line for kind in ("head", "worker") for line in given[f"{kind}_start_ray_commands"] if " start " in line]
    assert len(starts) == 2 and all(line.startswith("RAY_AUTH_MODE=token ") for line in starts)
    assert given["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


TEXT, WHOLE, TRUTH = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}


def only(required: str = "", **fields: Any) -> dict[str, Any]:
    """An object with these fields and no others."""
    return {"type": "object", "properties": fields, "additionalProperties": False, "required": required.split()}


MANY = {"type": "array", "items": {"type": "object"}, "minItems": 1}
CONTAINER = only("name image", name=TEXT, image=TEXT, resources=only(requests={}, limits={}), volumeMounts=MANY)
POD = only("spec", spec=only("containers", containers=MANY | {"items": CONTAINER}, volumes=MANY))
PARAMETERS = {"type": "object", "additionalProperties": TEXT}
HEAD = only("rayStartParams template", rayStartParams=PARAMETERS, template=POD)
WORKERS = only(
    "groupName minReplicas maxReplicas rayStartParams template",
    groupName=TEXT,
    replicas=WHOLE,
    minReplicas=WHOLE,
    maxReplicas=WHOLE,
    rayStartParams=PARAMETERS,
    template=POD,
)
CLUSTER = only(
    "headGroupSpec",
    rayVersion=TEXT,
    authOptions=only(mode={"enum": ["disabled", "token"]}),
    headGroupSpec=HEAD,
    workerGroupSpecs={"type": "array", "items": WORKERS},
)
RAY_JOB = only(
    "apiVersion kind metadata spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=only("name", name=TEXT),
    spec=only(
        "rayClusterSpec",
        entrypoint=TEXT,
        shutdownAfterJobFinishes=TRUTH,
        ttlSecondsAfterFinished=WHOLE,
        backoffLimit=WHOLE,
        rayClusterSpec=CLUSTER,
    ),
)
"""Of KubeRay's API reference for ray.io/v1 (RayJobSpec, RayClusterSpec, AuthOptions), the fields that are used here."""


def test_the_ray_job_has_kuberay_s_fields() -> None:
    """Their names, types and nesting; the version of Ray is the tested one; every volume that is mounted is there."""
    given = recipe("rayjob.yaml")
    jsonschema.validate(given, RAY_JOB)
    cluster = given["spec"]["rayClusterSpec"]
    (tested,) = re.findall(r"^ray==(\S+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert cluster["rayVersion"] == tested
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        mounted = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def options_of(command: str) -> list[str]:
    """The options of the run in a command line."""
    return re.findall(r" (--[a-z-]+)", command[command.index("tuner.run") :])


def test_the_runs_in_the_recipes_are_runs(capsys: pytest.CaptureFixture) -> None:
    """Every option that they give is one of the command's."""
    from tuner.run import main

    with pytest.raises(SystemExit):
        main(["--help"])
    known = capsys.readouterr().out
    texts = [(RECIPES / name).read_text(encoding="utf-8").replace("'", " ") for name in ("cluster.yaml", "slurm.sh")]
    lines = [line for text in texts for line in text.splitlines() if "tuner.run -" in line]
    lines.append(recipe("rayjob.yaml")["spec"]["entrypoint"])
    assert len(lines) == 3
    assert {option for line in lines for option in options_of(line) if option not in known} == set()


def test_the_docker_build_copies_what_the_installation_needs(tmp_path: Path) -> None:
    """Step by step, without Docker: every package and its data, and the command that the image starts answers."""
    steps = [
        line.split(maxsplit=1) for line in (RECIPES / "Dockerfile").read_text(encoding="utf-8").splitlines() if line
    ]
    for word, rest in steps:
        if word != "COPY":
            continue
        *sources, target = shlex.split(rest)
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, tmp_path / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, tmp_path / target)
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))
    include = project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert find_packages(str(tmp_path), include=include) == find_packages(str(ROOT), include=include) != []
    assert (tmp_path / "tuner" / "reporting" / "page.html").is_file() and (
        tmp_path / project["project"]["readme"]
    ).is_file()
    words = dict(steps)
    (command,) = json.loads(words["ENTRYPOINT"])
    module = project["project"]["scripts"][command].partition(":")[0].removesuffix(".__main__")
    ran = subprocess.run(
        [sys.executable, "-m", module, *json.loads(words["CMD"])],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0 and "run" in ran.stdout and not ran.stderr
    assert {word for word, _ in steps} - {"#"} == {"FROM", "RUN", "WORKDIR", "COPY", "ENV", "ENTRYPOINT", "CMD"}


STAND_INS = {
    "sleep": "exec /bin/sleep 0.1",
    "scontrol": "echo one\necho two",
    # A step is a group of processes, and ends with srun; NODE says where it is.
    "srun": '''
for word; do case $word in --nodelist=*) export NODE=${word#*=};; --*) ;; *) break;; esac; shift; done
[ "$1" = hostname ] && { echo "10.0.0.1 10.0.0.2"; exit; }
setsid "$@" &
trap "kill -- -$!; exit 143" TERM
wait $!''',
    # The head does not start at first, and the second node joins a while after it was told to.
    "ray": '''
said="$NODE: ray $* ($RAY_AUTH_MODE $RAY_AUTH_TOKEN)"
case "$1 $2" in
    "status --address") [ -e head ]; exit;;
    "start --head") echo "$said" >> said; [ -e tried ] || { touch tried; exit 1; }; touch head;;
    "start --address") echo "$said" >> said; [ -e head ] || exit 1; /bin/sleep 1; touch node;;
esac
trap "echo $NODE: ended >> ended; exit 1" TERM
for wait in {1..6000}; do /bin/sleep 0.1; done''',
    "python": f'''
case "$1" in
    -m) echo "python $* ($RAY_AUTH_MODE $RAY_AUTH_TOKEN) $(ls head node | wc -w)" >> said; exit 5;;
    *) PYTHONPATH="$PWD/stand_in" exec {sys.executable} "$@";;
esac''',
}
RAY_OF_THE_SCRIPT = """
from pathlib import Path
asked = []
def init(address, **options):
    asked.append(address)
    if len(asked) == 1:
        raise ConnectionError("a head that did not stay")
def nodes():
    return [{"Alive": True}, {"Alive": Path("node").exists()}]
def shutdown(): pass
"""
"""As far as the script looks at it."""


def test_the_slurm_script_runs_the_command_once_all_nodes_are_there(tmp_path: Path) -> None:
    """With a token of this job's own everywhere; a node that does not start is tried again; the command's exit code is the
    job's, and its end that of the nodes. What Slurm and Ray do is done by stand-ins."""
    tools = tmp_path / ".venv" / "bin"
    for folder in (tools, tmp_path / "stand_in"):
        folder.mkdir(parents=True)
    for name, text in STAND_INS.items():
        (tools / name).write_text(f"#!/bin/bash\n{text}\n", encoding="utf-8")
        (tools / name).chmod(0o755)
    (tmp_path / "stand_in" / "ray.py").write_text(RAY_OF_THE_SCRIPT, encoding="utf-8")
    slurm = {"SLURM_JOB_ID": "71234", "SLURM_JOB_NODELIST": "[one-two]", "SLURM_CPUS_PER_TASK": "8"}
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)} | slurm
    job = [RECIPES / "slurm.sh", "--space", "joint", "--data", "a folder/pairs.csv"]
    with (tmp_path / "log").open("w") as log:
        ran = subprocess.run(job, cwd=tmp_path, env=environment, stdout=log, stderr=log, timeout=600, check=False)
    assert ran.returncode == 5, (tmp_path / "log").read_text()
    first, again, node, command = (tmp_path / "said").read_text(encoding="utf-8").splitlines()
    token = first[first.index("(") :]
    assert re.fullmatch(r"\(token [0-9a-f]{64}\)", token)
    head = f"one: ray start --head --node-ip-address 10.0.0.1 --port 21234 --num-cpus 8 --block {token}"
    assert first == again == head
    assert node == f"two: ray start --address 10.0.0.1:21234 --num-cpus 8 --block {token}"
    asked = "--address 10.0.0.1:21234 --space joint --data a folder/pairs.csv"
    assert command == f"python -m tuner.run {asked} {token} 2"
    both = {"one: ended", "two: ended"}
    deadline = time.monotonic() + 300
    while not (tmp_path / "ended").exists() or {*(tmp_path / "ended").read_text().splitlines()} != both:
        assert time.monotonic() < deadline, "the nodes have not ended"
        time.sleep(0.05)
