#!/usr/bin/env bash
# Fails when systemd finds the unit file more exposed than 1.2 of 10, or anything wrong with it or a unit that it names.
set -euo pipefail
unit=$1
limit=12 # tenths

if ! command -v systemd-analyze >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends systemd; } >/dev/null 2>&1 || true
  fi
fi
if ! command -v systemd-analyze >/dev/null; then
  echo "exposure: SKIPPED: systemd-analyze is not installed"
  [ "${CI:-}" != true ]
  exit
fi

messages=$(mktemp)
trap 'rm -f "$messages"' EXIT
systemd-analyze security --offline=true --no-pager --threshold="$limit" "$unit" 2>"$messages" | tail -n 1
if grep -E 'Unknown|Failed|Invalid|ignoring' "$messages"; then
  echo "exposure: systemd does not understand the unit"
  exit 1
fi
# Where the package is not installed, neither is its program.
if systemd-analyze verify --man=no "$unit" 2>&1 | grep -vE 'Command /usr/bin/appgovd is not executable'; then
  echo "exposure: systemd-analyze verify finds fault with the unit"
  exit 1
fi
