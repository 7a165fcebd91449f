#!/usr/bin/env bash
# Starts a simulated tenant, runs appgovd on it with configs/demo.hcl, and prints the alerts as they come out.
# Ends after DEMO_ALERTS alerts (default 10) or DEMO_SECONDS (default 60); fails when none came.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

alerts_wanted=${DEMO_ALERTS:-10}
seconds=${DEMO_SECONDS:-60}
dir=.cache/demo # configs/demo.hcl names it too
export APPGOV_SIM_SECRET=sim-secret

rm -rf "$dir"
mkdir -p "$dir"
pids=()
stop() {
  [ "${#pids[@]}" -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
}
trap stop EXIT

fail() {
  echo "demo: $1" >&2
  tail -n 15 "$dir"/*.log >&2
  exit 1
}

# until_true SECONDS COMMAND...
until_true() {
  local limit=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$limit" ] || return 1
    sleep 0.2
  done
}

alive() { kill -0 "$1" 2>/dev/null; }
came() { grep -c '"detection_source":"App Governance"' "$dir/alerts.jsonl" 2>/dev/null || true; }

bin/appgov-sim --listen 127.0.0.1:18443 --ca-out "$dir/ca.pem" --scenario all --scenario-pace 1s >"$dir/sim.log" 2>&1 &
pids+=($!)
served() { [ -s "$dir/ca.pem" ] || ! alive "${pids[0]}"; }
until_true 20 served && [ -s "$dir/ca.pem" ] || fail "the simulated tenant did not start"
echo "demo: a simulated tenant serves at https://127.0.0.1:18443; starting appgovd with configs/demo.hcl"

: >"$dir/alerts.jsonl"
bin/appgovd run configs/demo.hcl >"$dir/alerts.jsonl" 2>"$dir/appgovd.log" &
pids+=($!)
tail -n +1 -f "$dir/alerts.jsonl" &
pids+=($!)
enough() { [ "$(came)" -ge "$alerts_wanted" ] || ! alive "${pids[1]}"; }
until_true "$seconds" enough || true
alive "${pids[1]}" || fail "appgovd ended by itself"
[ "$(came)" -gt 0 ] || fail "no alert within $seconds s"
echo "demo: $(came) alerts with detection_source \"App Governance\"; logs and alerts are in $dir"
