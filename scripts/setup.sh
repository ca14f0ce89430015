#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the build needs on Debian 12 and Ubuntu 22.04 or newer; asks for no GPU and no CUDA.
#
#   scripts/setup.sh             what the program, its tests and its benches need
#   scripts/setup.sh --program   only what the program needs
#   scripts/setup.sh --clang     also clang, with the runtime of its sanitizers: for scripts/test.sh --sanitize memory
#   scripts/setup.sh --dev       everything, and clang-format, clang-tidy, gcovr, gdb
#
# What is there already is left alone: with nothing missing, apt is not called and root is not needed.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() { sed -n '3,10s/^# \{0,1\}//p' scripts/setup.sh; }
die() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

# What is wanted as a program, whoever installed it (program=package), and what as a package.
programs=(g++=g++ cmake=cmake ninja=ninja-build)
with_numpy=0 with_cuda_headers=0
packages=(libfmt-dev nlohmann-json3-dev libcli11-dev zlib1g-dev libpng-dev libjpeg-dev libcurl4-openssl-dev libssl-dev)
case "${1:---all}" in
  --program) ;;
  --all | --clang | --dev)
    programs+=(python3=python3)
    packages+=(libgtest-dev libbenchmark-dev)
    with_numpy=1 with_cuda_headers=1
    ;;&
  --clang) packages+=(clang libclang-rt-dev libomp-dev) ;;
  --dev) programs+=(clang-format=clang-format clang-tidy=clang-tidy gcovr=gcovr gdb=gdb) ;;
  --all) ;;
  -h | --help)
    usage
    exit 0
    ;;
  *)
    printf 'setup: unknown option %s\n\n' "$1" >&2
    usage >&2
    exit 2
    ;;
esac

missing=()
for entry in "${programs[@]}"; do
  command -v "${entry%%=*}" > /dev/null || missing+=("${entry#*=}")
done
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2> /dev/null || true)" = installed ] || missing+=("$package")
done
# NOTE: a second Python on the PATH may lack numpy where the system's has it; the tests take whichever has it.
has_numpy() { python3 -c 'import numpy' || /usr/bin/python3 -c 'import numpy'; }
[ "$with_numpy" = 0 ] || has_numpy 2> /dev/null || missing+=(python3-numpy)

log=build/setup.log
mkdir -p build
as_root=()

# apt NAME...: apt-get as root, without questions, its words in the log; waits for another apt to end.
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >> "$log" 2>&1; }

install_packages() {
  command -v apt-get > /dev/null || die "this script knows Debian and Ubuntu (apt-get); install these by hand: $*"
  if [ "$(id -u)" != 0 ]; then
    command -v sudo > /dev/null || die "must install: $*" "run scripts/setup.sh as root once (there is no sudo here), then go on as you are"
    as_root=(sudo)
  fi
  printf 'setup: installing %s\n' "$*"
  # NOTE: a failing update is not the end: the package lists may be recent, and the failing source none that is needed.
  apt update || true
  apt install -y --no-install-recommends "$@" && return
  tail -n 12 "$log" >&2
  die "apt-get could not install: $*" "is the machine online, and is 'universe' enabled on Ubuntu? the whole log: $log"
}

: > "$log"
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"

# Programs and headers from PyPI go to build/tools, where the other scripts and CMake look first.
make_tools() {
  [ ! -x build/tools/bin/pip ] || return 0
  python3 -c 'import ensurepip' 2> /dev/null || install_packages python3-venv
  python3 -m venv build/tools >> "$log" 2>&1
}

# The tests run CUDA kernels on the CPU and need the headers of the CUDA runtime for it (5 MB), not the toolkit.
# NOTE: nv/target, which they include, comes with another package.
has_cuda_headers() { [ -e build/tools/cuda/nv/target ] || [ -e /usr/local/cuda/include/cuda_runtime.h ] || command -v nvcc > /dev/null; }
if [ "$with_cuda_headers" = 1 ] && ! has_cuda_headers; then
  printf 'setup: installing the headers of the CUDA runtime into build/tools\n'
  packages=(nvidia-cuda-runtime==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-cuda-cccl==13.0.85)
  make_tools && build/tools/bin/pip install --quiet --no-deps --upgrade --target build/tools/packages "${packages[@]}" >> "$log" 2>&1 &&
    ln -sfn packages/nvidia/cu13/include build/tools/cuda || {
    tail -n 12 "$log" >&2
    die "the headers of the CUDA runtime could not be installed; install the CUDA toolkit, 12.4 or newer, and run this again. the whole log: $log"
  }
fi

# Ubuntu 22.04 brings CMake 3.22.
cmake_is_recent() { command -v cmake > /dev/null && printf '3.25\n%s\n' "$(cmake --version | awk 'NR == 1 {print $3}')" | sort --check=quiet --version-sort; }
export PATH=$PWD/build/tools/bin:$PATH
if ! cmake_is_recent; then
  printf 'setup: CMake 3.25 or newer is needed; installing one into build/tools\n'
  make_tools && build/tools/bin/pip install --quiet 'cmake>=3.25,<4' >> "$log" 2>&1 || {
    tail -n 12 "$log" >&2
    die "no CMake 3.25 could be installed; install it by hand (any way will do) and run this again. the whole log: $log"
  }
fi
