#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Gathers the Debian packages that the card build needs into one folder, for a machine with a GPU that has no package registry.
#
#   scripts/gather_packages.sh [DIR]      build/packages: headers, static libraries and CMake files, some 25 MB
#
# Take the folder along; scripts/gpu_check.sh uses it where a package is not installed. Needs apt-get, not root.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(mkdir -p "${1:-build/packages}" && cd "${1:-build/packages}" && pwd)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# NOTE: run-time libraries too, since -dev packages hold links to them.
# Not libcurl and OpenSSL, which need a dozen libraries more: such a machine downloads nothing.
names=(libfmt-dev nlohmann-json3-dev libcli11-dev libpng-dev zlib1g-dev libjpeg-dev libgtest-dev libbenchmark-dev)
for name in libfmt9 libpng16-16 libpng16-16t64 zlib1g libjpeg62-turbo-dev libjpeg62-turbo libjpeg8-dev libjpeg8 libjpeg-turbo8-dev libjpeg-turbo8 libbenchmark1 libbenchmark1.7.1 libbenchmark1debian; do
  if apt-cache show "$name" > /dev/null 2>&1; then names+=("$name"); fi
done
apt-get download -qq "${names[@]}"
for package in *.deb; do dpkg-deb -x "$package" "$target"; done
rm -rf "$target/usr/share/doc"
# Pages of cmake and pkg-config name their prefix relative to themselves, so that the folder may lie anywhere.
du -sh "$target" | cut -f1
