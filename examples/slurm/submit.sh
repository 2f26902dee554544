#!/usr/bin/env bash
# Prepares a cohort once, trains its folds side by side, then compares the runs:
#
#   examples/slurm/submit.sh DATASET [options of vmseg_train]
#
# VMSEG_SBATCH says what each fold asks the cluster for; other settings of sbatch, such as SBATCH_PARTITION, reach all
# jobs. vmseg_train and its kin must be on PATH, and DATASET on a disk that all nodes see.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
VMSEG_DATASET=$(cd "${1:?which dataset?}" && pwd)
export VMSEG_DATASET
shift
read -ra wanted <<< "${VMSEG_SBATCH:---gres=gpu:1 --cpus-per-task=8 --mem=24G --time=1-00:00}"

job() { # the number of the job that is submitted
    local answer
    answer=$(sbatch --parsable --kill-on-invalid-dep=yes "$@")
    echo "${answer%%;*}"
}
prepare=$(job "$here/prepare.sbatch")
train=$(job --dependency="afterok:$prepare" "${wanted[@]}" "$here/train.sbatch" "$@")
select=$(job --dependency="afterok:$train" "$here/select.sbatch")
echo "preparing: job $prepare; training: jobs ${train}_0 to ${train}_4; choosing: job $select"
