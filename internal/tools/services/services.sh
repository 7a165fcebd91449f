#!/usr/bin/env bash
# Installs the real servers that the tests talk to: Kafka 4.1.2 and Elasticsearch 8.19.5 from Maven Central, rsyslog,
# Alertmanager and strace from the distribution. The archives are kept outside the tree, under
# ${APPGOVD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/appgovd}/services, and every byte of them is pinned in
# services.sha256. Running it again is quick and changes nothing.
#
#   services.sh          install what is missing
#   services.sh --pin    print fresh pins (after a change of version)
#
# Where something cannot be had it says what and why, and the tests that need it say SKIPPED; with CI=true it fails.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${APPGOVD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/appgovd}/services
dependency_plugin=org.apache.maven.plugins:maven-dependency-plugin:3.8.1
elasticsearch_version=8.19.5
elasticsearch_artifact=org.elasticsearch.distribution.integ-test-zip:elasticsearch:$elasticsearch_version:zip
missing=0

say() { printf 'services: %s\n' "$*"; }

# lacking counts what the tests will have to skip.
lacking() {
  missing=$((missing + 1))
  say "MISSING $*"
}

has_ossl_driver() { compgen -G '/usr/lib*/*/rsyslog/lmnsd_ossl.so' >/dev/null || compgen -G '/usr/lib*/rsyslog/lmnsd_ossl.so' >/dev/null; }
has_rsyslog() { PATH=$PATH:/usr/sbin:/sbin command -v rsyslogd >/dev/null && has_ossl_driver; }

# wanted_packages prints the Debian packages that are still needed; the fetching tools only while the cache is cold.
wanted_packages() {
  command -v strace >/dev/null || echo strace
  command -v lognormalizer >/dev/null || echo liblognorm-utils
  PATH=$PATH:/usr/sbin:/sbin command -v mkfs.ext4 >/dev/null || echo e2fsprogs
  PATH=$PATH:/usr/sbin:/sbin command -v losetup >/dev/null || echo mount
  command -v java >/dev/null || echo openjdk-17-jre-headless
  has_rsyslog || echo rsyslog rsyslog-openssl
  command -v prometheus-alertmanager >/dev/null || echo prometheus-alertmanager
  if ! is_current kafka || ! is_current elasticsearch; then
    command -v mvn >/dev/null || echo maven
    command -v unzip >/dev/null || echo unzip
  fi
}

install_packages() {
  local wanted
  read -r -d '' -a wanted < <(wanted_packages && printf '\0') || true
  [ "${#wanted[@]}" -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    lacking "packages, install as root: apt-get install ${wanted[*]}"
    return 0
  fi
  say "apt-get install ${wanted[*]}"
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 # no daemon is started
  # Some JRE packages need this folder, which slim images lack.
  mkdir -p /usr/share/man/man1
  if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${wanted[@]}" ca-certificates; } >"$cache/apt.log" 2>&1; then
    tail -n 5 "$cache/apt.log"
    lacking "packages: apt-get could not install ${wanted[*]}"
  fi
}

pins_of() { grep "  $1" "$here/services.sha256"; }

# is_current NAME: the cached folder was made from the pins that stand now.
is_current() { [ -f "$cache/$1/.pins" ] && [ "$(cat "$cache/$1/.pins")" = "$(pins_of "$1" | sha256sum)" ]; }

fetch_kafka() {
  mvn -q -B -Dstyle.color=never -f "$here/pom.xml" "$dependency_plugin:copy-dependencies" -DoutputDirectory="$1/kafka"
}

fetch_elasticsearch() {
  mvn -q -B -Dstyle.color=never -f "$here/pom.xml" "$dependency_plugin:copy" -Dartifact="$elasticsearch_artifact" -DoutputDirectory="$1/elasticsearch"
}

unpack_elasticsearch() {
  (cd "$1/elasticsearch" && unzip -q ./*.zip && rm ./*.zip && mv "elasticsearch-$elasticsearch_version"/* . && rm -r "elasticsearch-$elasticsearch_version")
}

unpack_kafka() { :; }

# provide NAME: fetch into a temporary folder, check against the pins, unpack, move into place.
provide() {
  local name=$1 tmp
  is_current "$name" && return 0
  if ! command -v mvn >/dev/null || ! command -v unzip >/dev/null; then
    lacking "$name: maven and unzip are needed to fetch it"
    return 0
  fi
  say "fetching $name"
  tmp=$(mktemp -d "$cache/.fetch.XXXXXX")
  if ! "fetch_$name" "$tmp" >"$cache/$name.log" 2>&1; then
    tail -n 5 "$cache/$name.log"
    lacking "$name: Maven Central did not give it (log: $cache/$name.log)"
  elif ! (cd "$tmp" && pins_of "$name" | sha256sum --check --quiet --strict); then
    lacking "$name: what was fetched is not what services.sha256 pins"
  else
    "unpack_$name" "$tmp"
    pins_of "$name" | sha256sum >"$tmp/$name/.pins"
    rm -rf "${cache:?}/$name"
    mv "$tmp/$name" "$cache/$name"
  fi
  rm -rf "$tmp"
}

pin() {
  local tmp
  tmp=$(mktemp -d)
  { fetch_kafka "$tmp" && fetch_elasticsearch "$tmp"; } >&2
  (cd "$tmp" && find kafka elasticsearch -type f | LC_ALL=C sort | xargs sha256sum)
  rm -rf "$tmp"
}

main() {
  if [ "${1:-}" = --pin ]; then
    pin
    return
  fi
  mkdir -p "$cache"
  exec 9>"$cache/.lock"
  flock 9
  install_packages
  provide kafka
  provide elasticsearch
  if [ "$missing" -gt 0 ]; then
    say "$missing missing: the tests that need them are skipped"
    [ "${CI:-}" != true ]
    return
  fi
  say "kafka, elasticsearch, rsyslog and alertmanager are ready ($cache)"
}

main "$@"
