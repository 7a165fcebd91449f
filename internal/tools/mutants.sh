#!/usr/bin/env bash
# Shows that the tests of the promises can fail. Each patch in mutants/ breaks one promise; its head says which, and which test
# must turn red: "test: NAME PACKAGE". All tests are green first; then each patch is applied to a copy of the tree, and its
# test must fail - not its build. A patch that no longer applies is a failure: it is to be made anew.
#
# usage: mutants.sh [NAME...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -co --exclude-standard -z | xargs -0 cp --parents -t "$copy" 2>/dev/null || true # a file that is deleted here is not there
patches=$PWD/internal/tools/mutants
export APPGOVD_CRASH_POINTS=${APPGOVD_CRASH_POINTS:-5000}
cd "$copy"

names=("$@")
[ $# -gt 0 ] || for patch in "$patches"/*.patch; do names+=("$(basename "$patch" .patch)"); done

head_of() { sed -n "s/^test: //p" "$patches/$1.patch"; }
run() { timeout --kill-after=5s 180s go test -count=1 -timeout 150s -run "^($1)" "$2" 2>&1; }

for name in "${names[@]}"; do head_of "$name"; done | sort -u | awk '{ tests[$2] = tests[$2] (tests[$2] ? "|" : "") $1 } END { for (p in tests) print p, tests[p] }' |
  while read -r package tests; do
    run "$tests" "$package" >"$copy/out" || { cat "$copy/out"; echo "mutants: the tests are red without a mutant"; exit 1; }
  done

killed=0 failed=0
for name in "${names[@]}"; do
  read -r test package < <(head_of "$name")
  if ! patch -s -p1 --fuzz=0 <"$patches/$name.patch" >"$copy/out" 2>&1; then
    echo "mutants: $name FAILED: the patch does not apply"
    failed=$((failed + 1))
  elif run "$test" "$package" >"$copy/out"; then
    echo "mutants: $name FAILED: $test is green"
    failed=$((failed + 1))
  elif grep -q 'build failed\|no tests to run' "$copy/out" || ! grep -qE -- '^ *--- FAIL|^panic:' "$copy/out"; then
    tail -n 20 "$copy/out"
    echo "mutants: $name FAILED: no verdict of $test"
    failed=$((failed + 1))
  else
    echo "mutants: $name ok: $(sed -n 1p "$patches/$name.patch"): $test is red"
    killed=$((killed + 1))
  fi
  for file in $(sed -n 's|^+++ b/\([^[:space:]]*\).*|\1|p' "$patches/$name.patch"); do
    cp "$patches/../../../$file" "$file"
    rm -f "$file.orig" "$file.rej"
  done
  rm -rf internal/ledger/testdata/rapid
done
echo "mutants: $killed of ${#names[@]} found"
[ "$failed" = 0 ]
