#!/usr/bin/env bash
# Fuzzes every target of the project for an equal share of FUZZ_BUDGET seconds, at most FUZZ_EACH and at least 5 s each.
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
[ "$each" -ge 5 ] || each=5

failed=0
while read -r package target; do
  if output=$(go test -run '^$' -fuzz "^$target\$" -fuzztime "${each}s" "$package" 2>&1); then
    printf 'fuzz: %-32s %-24s %s\n' "$package" "$target" "$(printf '%s' "$output" | grep -oE 'execs: [0-9]+' | tail -n 1)"
  else
    printf 'fuzz: %s %s FAILED\n%s\n' "$package" "$target" "$output"
    failed=$((failed + 1))
  fi
done <<<"$targets"
echo "fuzz: $count targets, ${each}s each, $failed failed"
[ "$failed" = 0 ]
