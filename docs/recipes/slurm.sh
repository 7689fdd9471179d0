#!/bin/bash
# A run on Slurm's machines: sbatch docs/recipes/slurm.sh --space joint --data /shared/pairs.csv --results /shared/results
# Started in a folder that all machines share, with .venv in it; what follows the script's name goes to python -m tuner.run.
#SBATCH --job-name=twoview
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --output=twoview-%j.log
set -euo pipefail

export PATH="$PWD/.venv/bin:$PATH"
# A token of this job's own: without it everybody on the network could run code here as you.
RAY_AUTH_TOKEN=$(python -c "import secrets; print(secrets.token_hex(32))")
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
cpus=${SLURM_CPUS_PER_TASK:-1}
port=$((20000 + SLURM_JOB_ID % 10000))

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=$(srun --nodes=1 --ntasks=1 --nodelist="${nodes[0]}" hostname --ip-address | cut -d ' ' -f 1)

# Each node lives in a step of its own, and ends with this script. `ray start` gives up after 30 s, which a busy machine takes.
trap 'kill $(jobs -p) 2> /dev/null || true' EXIT
tries='for try in {1..20}; do "$@" && exit; done; exit 1'
srun --nodes=1 --ntasks=1 --overlap --nodelist="${nodes[0]}" bash -c "$tries" tries \
    ray start --head --node-ip-address "$head" --port "$port" --num-cpus "$cpus" --block &
until ray status --address "$head:$port" > /dev/null 2>&1; do
    kill -0 $! || exit 3  # the head did not start
    sleep 2
done
for node in "${nodes[@]:1}"; do
    srun --nodes=1 --ntasks=1 --overlap --nodelist="$node" bash -c "$tries" tries \
        ray start --address "$head:$port" --num-cpus "$cpus" --block &
done
python - "$head:$port" "${#nodes[@]}" << 'END'
import sys
import time

import ray

for _ in range(600):
    try:
        ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
        if sum(node["Alive"] for node in ray.nodes()) == int(sys.argv[2]):
            sys.exit()
    except (ConnectionError, RuntimeError):  # of a head that did not stay
        pass
    ray.shutdown()
    time.sleep(1)
sys.exit("not all nodes have joined within 10 minutes")
END

python -m tuner.run --address "$head:$port" "$@"
