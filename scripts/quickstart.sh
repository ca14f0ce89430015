#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a fresh machine to two trained networks: installs, builds, makes a data set, trains with cross-entropy and with ISDA, compares.
#
#   ./scripts/quickstart.sh                  all of it; a second call only trains again what is not there yet
#   ./scripts/quickstart.sh --epochs 40      longer
#   ./scripts/quickstart.sh --isda FILE      with a program that is built already
#   ./scripts/quickstart.sh --output DIR     the data set and the runs go to DIR (runs/quickstart)
#   ./scripts/quickstart.sh --train N --test N    the size of the data set
#   ./scripts/quickstart.sh --model NAME     another network (resnet8)
set -euo pipefail
cd "$(dirname "$0")/.."

epochs=15 train=5000 test=1000 model=resnet8 output=runs/quickstart isda=
while [ $# -gt 0 ]; do
  case "$1" in
    --epochs) epochs=${2:?a number} ;;
    --train) train=${2:?a number} ;;
    --test) test=${2:?a number} ;;
    --model) model=${2:?the name of a network} ;;
    --output) output=${2:?a folder} ;;
    --isda) isda=${2:?the program} ;;
    *)
      sed -n '3,10s/^# \{0,1\}//p' scripts/quickstart.sh
      [ "$1" = -h ] || [ "$1" = --help ] && exit 0
      exit 2
      ;;
  esac
  shift 2
done

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n== %s\n' "$*"; }

if [ -z "$isda" ]; then
  say 'Installing and building'
  scripts/setup.sh --program
  scripts/build.sh release isda
  isda=build/release/isda
fi

data=$output/shapes-$train-$test
say "Data set: $train + $test images of ten shapes, drawn by the program"
if [ ! -e "$data/factors.csv" ]; then "$isda" data make-shapes --output "$data" --train "$train" --test "$test" --seed 1; fi
"$isda" data info --dataset shapes --data-dir "$data"

# run LOSS FLAGS...: one training, kept under a name that says what it was.
run() {
  local folder=$output/$model-$1-$epochs-$train
  say "Training $model with $1 for $epochs epochs"
  if [ -e "$folder/done" ]; then
    printf 'done before: %s (remove it to train again)\n' "$folder"
  else
    rm -rf "$folder"
    "$isda" train --dataset shapes --data-dir "$data" --model "$model" --epochs "$epochs" --seed 1 --output "$folder" --loss "$@"
    touch "$folder/done"
  fi
}
run ce
run isda --lambda-0 0.5

# row LOSS NAME: the last epoch of a run, and the seconds of all epochs, from its metrics.csv by the names of the columns.
row() {
  awk -F, -v name="$2" '
    NR == 1 { for (i = 1; i <= NF; ++i) column[$i] = i; next }
    { seconds += $column["seconds"]; top1 = $column["val_top1"]; loss = $column["val_loss"]; train = $column["train_loss"] }
    END { printf "%-16s %12.2f %% %14.4f %14.4f %10.1f\n", name, top1, loss, train, seconds }' "$output/$model-$1-$epochs-$train/metrics.csv"
}
say "$model after $epochs epochs, on $test images it never saw"
printf '%-16s %14s %14s %14s %10s\n' loss accuracy 'test loss' 'train loss' seconds
row ce cross-entropy
row isda ISDA
cat << END

So small a set and so short a training tell that both losses train, not which is better: between seeds the accuracy moves by
more than they differ. What to type next for real images (CIFAR-10, 163 MB; then hours on a CPU):

  $isda data download cifar10 --data-dir data
  $isda train --dataset cifar10 --data-dir data --model resnet32 --loss isda --lambda-0 0.5

Both curves stand in metrics.csv under $output; every flag: $isda train --help
END
