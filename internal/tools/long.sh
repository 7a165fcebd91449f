#!/usr/bin/env bash
# The long suites, each with a budget of its own; together at most 40 minutes. Each prints its counts and its time.
#
#   suite        budget   what
#   crash         4 min   the ledger's model test with APPGOVD_CRASH_POINTS crash points (default 1,000,000), failing operations, flipped bits, cuts
#   powercut   1.75 min   300 power cuts of a real ext4 disk below the ledger, 50 kills of its process, its ten crash points three times
#   daemon     4.25 min   the real binary: 500 kills, 30 power cuts, crash points, 150 failing calls of the kernel, a full disk, wrong clocks
#   soak        4.5 min   3 minutes of faults from a seed between the daemon, the cloud and every sink, then peace; `make soak` is 30
#   fuzz        5.5 min   every fuzz target, FUZZ_BUDGET seconds together
#   oracle      1.5 min   the compiler of rules against the page on their semantics, 10^7 evaluations, and against HCL's own evaluator
#   replay      1.5 min   10,000 frames over every block of the rules, in one piece and restarted behind every frame
#   e2e       12.25 min   the whole end-to-end test: 200,000 records, 50 kills, real servers behind every sink; and the other kinds of sources
#   tenant        1 min   the restart of the real binary with 100,000 apps, 1,000,000 grants and 150,000 events; at most 512 MB
#   race       3.75 min   the concurrent rooms under the race detector, without sweeps of damage and of faults; `make race` is the whole
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

powercut() {
  go test -count=1 -timeout 30m -v ./internal/proof -proof.cuts "${APPGOVD_CUTS:-300}" -proof.kills 50 -proof.turns 3 |
    grep -E '^ *(---|FAIL|ok|panic)|cycles|LOST|INVENTED|SKIPPED'
}
export -f powercut

daemon() {
  go test -count=1 -timeout 30m -parallel 10 -v -run 'OfTheDaemon|OfTheKernel|FullDisk|Clocks' ./internal/e2e \
    -e2e.kills 500 -e2e.cuts 30 -e2e.turns 3 -e2e.faults 50 -e2e.clocks |
    grep -E '^(---|FAIL|ok|panic)|_test\.go:' | grep -v 'missing 0, spurious 0'
}
export -f daemon

soak() {
  go test -count=1 -timeout 60m -v -run TestSoak ./internal/e2e -e2e.soak "${APPGOVD_SOAK:-3m}" -e2e.seed "${APPGOVD_SEED:-0}" |
    grep -E '^(---|FAIL|ok|panic)|seed|missing|corrupted|SKIPPED|soak_test|receivers_test'
}
export -f soak

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
  go test -count=1 -timeout 14m -v -run E2E ./internal/e2e -e2e.full | grep -vE '^(=== |[0-9]{4}/)'
}
export -f e2e

tenant() {
  go test -count=1 -timeout 5m -v -run TestLargeTenant ./internal/e2e -e2e.tenant | grep -E '^(---|FAIL|ok|panic)|tenant_test'
}
export -f tenant

suite crash 4 bash -euo pipefail -c crash
suite powercut 1.75 bash -euo pipefail -c powercut
suite daemon 4.25 bash -euo pipefail -c daemon
suite soak 4.5 bash -euo pipefail -c soak
suite fuzz 5.5 env FUZZ_EACH=2 make --no-print-directory fuzz
suite oracle 1.5 bash -euo pipefail -c oracle
suite replay 1.5 bash -euo pipefail -c replay
suite e2e 12.25 bash -euo pipefail -c e2e
suite tenant 1 bash -euo pipefail -c tenant
suite race 3.75 env APPGOVD_CRASH_POINTS=2000 go test -race -count=1 -skip "FlippedByte|Truncation|TestConservation" ./internal/ledger ./internal/ingest ./internal/deliver ./internal/app ./internal/config ./internal/secret ./internal/event
exit "$failed"
