#!/bin/sh
# Stops the daemon when the package is removed, not when it is upgraded.
set -e
case "$1" in
  remove | 0) [ ! -d /run/systemd/system ] || systemctl --no-reload disable --now appgovd.service appgovd.socket ;;
esac
