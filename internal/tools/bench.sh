#!/usr/bin/env bash
# Runs the benchmarks of every package that has some; BENCH narrows them, BENCH_TIME is for each (default 1s).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
(cd bench && go run .) # the ratios to other engines; a module of its own
git grep -lE '^func Benchmark' -- '*_test.go' ':!bench' | xargs -n 1 dirname | sort -u | sed 's|^|./|' |
  xargs go test -p 1 -run '^$' -bench "${BENCH:-.}" -benchtime "${BENCH_TIME:-1s}" -benchmem
