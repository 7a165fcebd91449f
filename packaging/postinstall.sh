#!/bin/sh
# Makes the group of the admin socket and shows systemd the units. Nothing is started: there is no configuration yet.
set -e
systemd-sysusers appgovd.conf 2>/dev/null || getent group appgovd-admin >/dev/null || groupadd --system appgovd-admin
[ ! -d /run/systemd/system ] || systemctl daemon-reload
