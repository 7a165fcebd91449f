#!/usr/bin/env bash
# The long suites, each with a budget of its own; together at most 40 minutes. Each prints its counts and its time.
#
#   suite        budget   what
#   crash         6 min   the ledger's model test with APPGOVD_CRASH_POINTS crash points (default 1,000,000), failing operations, flipped bits, cuts
#   fuzz         10 min   every fuzz target, FUZZ_BUDGET seconds together
#   oracle        4 min   the compiler of rules against the page on their semantics, 10^7 evaluations, and against HCL's own evaluator
#   replay        2 min   10,000 frames over every block of the rules, in one piece and restarted behind every frame
#   e2e          13 min   the whole end-to-end test: 200,000 records, 50 kills, real servers behind every sink
#   race          8 min   the concurrent rooms under the race detector; `make race` is the whole
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

failed=0

# suite NAME MINUTES COMMAND...: all suites run; one over its budget fails.
suite() {
  local name=$1 budget=$2 from=$SECONDS status=0
  shift 2
  echo "long: $name (budget ${budget} min)"
  timeout --kill-after=30s "${budget}m" "$@" || status=$?
  case $status in
    0) echo "long: $name ok, $((SECONDS - from)) s" ;;
    124 | 137) echo "long: $name FAILED: over its budget of ${budget} min"; failed=1 ;;
    *) echo "long: $name FAILED after $((SECONDS - from)) s"; failed=1 ;;
  esac
}

crash() {
  APPGOVD_CRASH_POINTS=${APPGOVD_CRASH_POINTS:-1000000} \
    go test -count=1 -timeout 10m -v -run 'Crashes|NthOperation|FlippedByte|Truncation' ./internal/ledger |
    grep -E '^(---|FAIL|ok|panic)|crash points|violation|that failed|flipped|cuts'
}
export -f crash

oracle() {
  APPGOVD_EVALUATIONS=${APPGOVD_EVALUATIONS:-10000000} \
    go test -count=1 -timeout 10m -v -run 'TheCompilerAgrees' ./internal/rule | grep -E '^(---|FAIL|ok|panic)|evaluations|page|compiled'
}
export -f oracle

replay() {
  APPGOVD_FRAMES=${APPGOVD_FRAMES:-10000} APPGOVD_KEYS=${APPGOVD_KEYS:-1000000} \
    go test -count=1 -timeout 5m -v -run 'EveryBlockIsDeterministic|MadeUpKeys' ./internal/detect | grep -E '^(---|FAIL|ok|panic)|frames|keys'
}
export -f replay

e2e() {
  go test -count=1 -timeout 12m -v -run E2E ./internal/e2e -e2e.full | grep -vE '^(=== |[0-9]{4}/)'
}
export -f e2e

suite crash 6 bash -euo pipefail -c crash
suite fuzz 10 env FUZZ_EACH=5 make --no-print-directory fuzz
suite oracle 4 bash -euo pipefail -c oracle
suite replay 2 bash -euo pipefail -c replay
suite e2e 13 bash -euo pipefail -c e2e
suite race 8 go test -race -count=1 ./internal/ledger ./internal/ingest ./internal/deliver ./internal/app ./internal/config ./internal/secret ./internal/event
exit "$failed"
