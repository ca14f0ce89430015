#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Everything there is to check on a machine with an NVIDIA GPU, in some ten minutes (an estimate): builds for its card, runs every test on it, the conformance test of the
# PTX wrappers, compute-sanitizer over the kernels' tests, the benches beside cuDNN and cuBLAS, the ladder of ISDA's head, PyTorch's figures where torch is there, and a short training.
# Writes docs/results/GPU-DATE.json and .md.
#
#   scripts/gpu_check.sh                      all parts
#   scripts/gpu_check.sh --only build,tests   some: build tests conformance sanitizer bench ladder peers training
#   scripts/gpu_check.sh --skip peers         all but some
#   scripts/gpu_check.sh --output DIR         where the two files go (docs/results)
#   scripts/gpu_check.sh --data DIR           CIFAR-10 in its binary form; without it the training runs on shapes
#   scripts/gpu_check.sh --data-name NAME     what the report calls it, e.g. "CIFAR-10 (JPEG copy)"
#   scripts/gpu_check.sh --jobs N             compile with N processes (all cores)
#
# Needs nvcc, CMake 3.25, ninja and g++. The libraries are taken from the system or, where there is no package registry, from build/packages
# (scripts/gather_packages.sh); cuDNN 9 from there too, from the toolkit, or from PyTorch's wheels. Exit status 0 when every part that ran is green.
set -uo pipefail
cd "$(dirname "$0")/.."

parts=(build tests conformance sanitizer bench ladder peers training)
only='' skip='' output=docs/results data='' data_name=CIFAR-10 jobs=$(nproc)
while [ $# -gt 0 ]; do
  case "$1" in
    --only) only=,${2:?parts},  ;;
    --skip) skip=,${2:?parts}, ;;
    --output) output=${2:?a folder} ;;
    --data) data=${2:?a folder} ;;
    --data-name) data_name=${2:?a name} ;;
    --jobs) jobs=${2:?a number} ;;
    *)
      sed -n '3,18s/^# \{0,1\}//p' scripts/gpu_check.sh
      [ "$1" = -h ] || [ "$1" = --help ] && exit 0
      exit 2
      ;;
  esac
  shift 2
done
for name in ${only//,/ } ${skip//,/ }; do
  case " ${parts[*]} " in *" $name "*) ;; *) printf 'gpu_check: there is no part "%s", only %s\n' "$name" "${parts[*]}" >&2 && exit 2 ;; esac
done

gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader 2> /dev/null | head -n 1)
if [ -z "$gpu" ]; then
  printf 'gpu_check: nvidia-smi names no GPU: this check needs a machine with one\n' >&2
  exit 1
fi

work=build/gpu_check
rm -rf "$work" && mkdir -p "$work" "$output"
export LD_LIBRARY_PATH=$PWD/build/packages/usr/lib/x86_64-linux-gnu:${LD_LIBRARY_PATH:-}
: > "$work/parts.tsv"

is_wanted() {
  case "$only" in '') ;; *",$1,"*) ;; *) return 1 ;; esac
  case "$skip" in *",$1,"*) return 1 ;; esac
}

# part NAME LIMIT COMMAND...: runs it, keeps what it says, notes how it ended and how long it took.
part() {
  local name=$1 limit=$2 begin=$SECONDS status
  shift 2
  is_wanted "${name%%_*}" || return 0
  printf '== %s\n' "$name"
  timeout "$limit" "$@" > "$work/$name.log" 2>&1
  status=$?
  [ "$status" = 0 ] || tail -n 15 "$work/$name.log"
  printf '%s\t%s\t%s\n' "$name" "$status" "$((SECONDS - begin))" >> "$work/parts.tsv"
}

build() {
  local prefix=()
  [ ! -d build/packages/usr ] || prefix=("-DCMAKE_PREFIX_PATH=$PWD/build/packages/usr")
  cmake --preset card "${prefix[@]}" && cmake --build --preset card --parallel "$jobs"
}
export -f build
export jobs

part build 400 bash -c build
tests=build/card/tests
part conformance 60 "$tests/conformance_card" --gtest_brief=1
part tests_kernels 120 "$tests/test_kernels" --gtest_brief=1 --gtest_filter='Cuda*:*OnCard*:*OnTheCard*' "--gtest_output=json:$work/kernels.json"
part tests_core 60 "$tests/test_core" --gtest_brief=1 "--gtest_output=json:$work/core.json"
part tests_training 120 "$tests/test_training" --gtest_brief=1 --gtest_filter='*Card*' "--gtest_output=json:$work/training.json"
# NOTE: the small shapes of every case; racecheck is slow, so it looks at the kernels that use shared memory.
part sanitizer_memcheck 150 compute-sanitizer --tool memcheck --error-exitcode 9 "$tests/test_kernels" --gtest_brief=1 --gtest_filter='Cuda_f32*'
part sanitizer_racecheck 150 compute-sanitizer --tool racecheck --error-exitcode 9 "$tests/test_kernels" --gtest_brief=1 \
  --gtest_filter='Cuda_f32*linear*:Cuda_f32*batch_norm*:Cuda_f32*isda*:Cuda_f32*softmax*:Cuda_f32*pool*'
# NOTE: a time is that of one of 20 runs in a graph, beside as many of the vendor's library: a line takes some 60 times as long as it is asked to.
for type in f32 bf16; do
  part "bench_$type" 240 build/card/bench/isda_bench_card --benchmark_min_time=0.005 "--benchmark_out=$work/bench_$type.json" --benchmark_out_format=json "--type=$type"
done
# The ladder of ISDA's head, level by level (docs/isda_ladder.md).
part ladder 120 build/card/bench/isda_ladder --json

torch_peers() {
  set -e
  python3 bench/peers/isda_head.py --device cuda --shape 128,10,64 128,100,64 128,100,640 --mode eager cuda-graph --steps-per-round 20 --no-memory --limit 60
  python3 bench/peers/resnet_step.py --device cuda --depth 32 --precision fp32 bf16 --memory-format channels_last --steps-per-round 50 \
    --mode eager cuda-graph compile-cuda-graph compile-reduce-overhead --limit 180
}
export -f torch_peers
if is_wanted peers && ! python3 -c 'import torch' 2> /dev/null; then
  printf '== peers: torch cannot be imported, left out\n'
else
  part peers 330 bash -c torch_peers
fi

training() {
  set -e
  local program=build/card/isda folder=$1 data=$2 flags=(--device cuda --model resnet32 --batch-size 128 --output "$1/run")
  if [ -n "$data" ]; then
    "$program" train --dataset cifar10 --data-dir "$data" --loss isda --lambda-0 0.5 --epochs 5 "${flags[@]}"
  else
    "$program" data make-shapes --output "$folder/shapes" --train 5000 --test 1000
    "$program" train --dataset shapes --data-dir "$folder/shapes" --loss isda --lambda-0 0.5 --epochs 5 "${flags[@]}"
  fi
}
export -f training
part training 150 bash -c 'training "$1" "$2"' training "$work" "$data"

python3 scripts/gpu_report.py "$work" --gpu "$gpu" --output "$output" --data "${data:+$data_name}"
! awk -F'\t' '$2 != 0 { exit 1 }' "$work/parts.tsv" && exit 1
exit 0
