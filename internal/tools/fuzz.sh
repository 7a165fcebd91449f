#!/usr/bin/env bash
# Fuzzes every target of the project for an equal share of FUZZ_BUDGET seconds, at most FUZZ_EACH and at least 2 s each.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

budget=${FUZZ_BUDGET:-400}
each_limit=${FUZZ_EACH:-30}

targets=$(git grep -hlE '^func Fuzz' -- '*_test.go' | while read -r file; do
  sed -nE "s|^func (Fuzz[A-Za-z0-9_]+)\(.*|./$(dirname "$file") \1|p" "$file"
done | LC_ALL=C sort -u)
count=$(printf '%s' "$targets" | grep -c .)
each=$((budget / count))
[ "$each" -le "$each_limit" ] || each=$each_limit
[ "$each" -ge 2 ] || each=2

# fuzz runs one target. To make an input of interest smaller takes a minute each by default, in which nothing is tried: of large
# inputs a run would see a dozen; 100 tries do. Before Go 1.27 the end of -fuzztime itself can fail a run (go.dev/issue/75804): nothing is found,
# no input is written, and "context deadline exceeded" is all that it says. Such a run is no verdict, so it is made again.
fuzz() {
  local package=$1 target=$2
  for _ in 1 2 3; do
    if output=$(go test -run '^$' -fuzz "^$target\$" -fuzztime "${each}s" -fuzzminimizetime 100x "$package" 2>&1); then return 0; fi
    without_verdict <<<"$output" || return 1
    printf 'fuzz: %s %s ended at its deadline without a verdict (go.dev/issue/75804): again\n' "$package" "$target"
  done
  return 1
}

# without_verdict tells whether the output of a failed run, on its input, says the deadline and nothing else.
without_verdict() {
  ! grep -qvE '^(fuzz: (elapsed|minimizing)|--- FAIL: Fuzz[A-Za-z0-9_]+ \([0-9.]+s\)$|    context deadline exceeded$|FAIL($|[[:space:]])|exit status 1$|$)'
}

failed=0
while read -r package target; do
  if fuzz "$package" "$target"; then
    printf 'fuzz: %-32s %-24s %s\n' "$package" "$target" "$(printf '%s' "$output" | grep -oE 'execs: [0-9]+' | tail -n 1)"
  else
    printf 'fuzz: %s %s FAILED\n%s\n' "$package" "$target" "$output"
    failed=$((failed + 1))
  fi
done <<<"$targets"
echo "fuzz: $count targets, ${each}s each, $failed failed"
[ "$failed" = 0 ]
