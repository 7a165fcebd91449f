#!/usr/bin/env bash
# Installs the real servers that the tests talk to: Kafka 4.1.2, Elasticsearch 8.19.5 and 9.2.0 and OpenSearch 2.19.4
# (with its security plugin) and 3.8.0 (without) from Maven Central, rsyslog, syslog-ng, Alertmanager and strace from the distribution. Elasticsearch 9 and OpenSearch 3 need
# Java 21, which is looked for and not installed. The archives are kept outside the tree, under
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
servers="kafka elasticsearch elasticsearch9 opensearch opensearch3" # names of folders in the cache and in services.sha256
missing=0

say() { printf 'services: %s\n' "$*"; }

# lacking counts what the tests will have to skip.
lacking() {
  missing=$((missing + 1))
  say "MISSING $*"
}

# has_java21 tells whether a Java of 21 or newer is there; the tests look in the same places (servicetest).
has_java21() {
  local home version java
  java=$(readlink -f "$(command -v java)" || true)
  for home in "${java%/bin/java}" "${JAVA_HOME:-}" /usr/lib/jvm/*; do
    [ -x "$home/bin/java" ] && [ -f "$home/release" ] || continue
    version=$(sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$home/release")
    [ "${version:-0}" -ge 21 ] && return 0
  done
  return 1
}

# is_wanted NAME: this machine could run the server.
is_wanted() {
  case $1 in
    elasticsearch9 | opensearch3) has_java21 ;;
  esac
}

has_ossl_driver() { compgen -G '/usr/lib*/*/rsyslog/lmnsd_ossl.so' >/dev/null || compgen -G '/usr/lib*/rsyslog/lmnsd_ossl.so' >/dev/null; }
# syslog-ng may not be installed beside rsyslog: it is unpacked into the cache, and only what it links is installed.
has_syslog_ng() { [ -x "$cache/syslog-ng/usr/sbin/syslog-ng" ]; }
has_rsyslog() { PATH=$PATH:/usr/sbin:/sbin command -v rsyslogd >/dev/null && has_ossl_driver; }

# wanted_packages prints the Debian packages that are still needed; the fetching tools only while the cache is cold.
wanted_packages() {
  command -v strace >/dev/null || echo strace
  command -v lognormalizer >/dev/null || echo liblognorm-utils
  PATH=$PATH:/usr/sbin:/sbin command -v mkfs.ext4 >/dev/null || echo e2fsprogs
  PATH=$PATH:/usr/sbin:/sbin command -v losetup >/dev/null || echo mount
  command -v java >/dev/null || echo openjdk-17-jre-headless
  has_rsyslog || echo rsyslog rsyslog-openssl
  has_syslog_ng || echo libglib2.0-0 libivykis0 libjson-c5 libnet1 libpcre3 libwrap0
  command -v prometheus-alertmanager >/dev/null || echo prometheus-alertmanager
  if ! all_current; then
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

pins_of() { grep "  $1/" "$here/services.sha256"; }

# is_current NAME: the cached folder was made from the pins that stand now.
is_current() { [ -f "$cache/$1/.pins" ] && [ "$(cat "$cache/$1/.pins")" = "$(pins_of "$1" | sha256sum)" ]; }

all_current() {
  local name
  for name in $servers; do
    is_current "$name" || ! is_wanted "$name" || return 1
  done
}

# jars POM FOLDER [-Dproperty=value]: the dependencies of a POM beside this script.
jars() { mvn -q -B -Dstyle.color=never -f "$here/$1" "$dependency_plugin:copy-dependencies" -DoutputDirectory="$2" "${@:3}"; }

# archive ARTIFACT FOLDER: one zip file.
archive() { mvn -q -B -Dstyle.color=never -f "$here/pom.xml" "$dependency_plugin:copy" -DoutputDirectory="$2" -Dartifact="$1:zip"; }

# fetch NAME FOLDER puts what services.sha256 pins of a server into FOLDER/NAME.
fetch() {
  case $1 in
    kafka) jars pom.xml "$2/$1" ;;
    # the builds that Elastic publishes for integration tests
    elasticsearch) archive org.elasticsearch.distribution.integ-test-zip:elasticsearch:8.19.5 "$2/$1" ;;
    elasticsearch9) archive org.elasticsearch.distribution.integ-test-zip:elasticsearch:9.2.0 "$2/$1" ;;
    opensearch)
      jars opensearch.xml "$2/$1" -Dopensearch.version=2.19.4 -Dopensearch.runner=2.19.1.0 &&
        archive org.opensearch.plugin:opensearch-security:2.19.4.0 "$2/$1"
      ;;
    opensearch3) jars opensearch.xml "$2/$1" -Dopensearch.version=3.8.0 -Dopensearch.runner=3.8.0.0 ;;
  esac
}

# unpack FOLDER: a distribution, or the jars of a plugin into a folder of its own; jars that came alone stay as they are.
unpack() {
  local archive
  archive=$(compgen -G "$1/*.zip") || return 0
  cd "$1"
  case ${archive##*/} in
    elasticsearch-*) unzip -q "$archive" && mv elasticsearch-*/* . && rmdir elasticsearch-*/ ;;
    opensearch-security-*) unzip -q "$archive" -d security ;;
  esac
  rm "$archive"
}

# provide NAME: fetch into a temporary folder, check against the pins, unpack, move into place.
provide() {
  local name=$1 tmp
  if ! is_wanted "$name"; then
    lacking "$name: needs Java 21 or newer, on the path, in JAVA_HOME or below /usr/lib/jvm"
    return 0
  fi
  is_current "$name" && return 0
  if ! command -v mvn >/dev/null || ! command -v unzip >/dev/null; then
    lacking "$name: maven and unzip are needed to fetch it"
    return 0
  fi
  say "fetching $name"
  tmp=$(mktemp -d "$cache/.fetch.XXXXXX")
  if ! fetch "$name" "$tmp" >"$cache/$name.log" 2>&1; then
    tail -n 5 "$cache/$name.log"
    lacking "$name: Maven Central did not give it (log: $cache/$name.log)"
  elif ! (cd "$tmp" && pins_of "$name" | sha256sum --check --quiet --strict); then
    lacking "$name: what was fetched is not what services.sha256 pins"
  else
    (unpack "$tmp/$name")
    pins_of "$name" | sha256sum >"$tmp/$name/.pins"
    rm -rf "${cache:?}/$name"
    mv "$tmp/$name" "$cache/$name"
  fi
  rm -rf "$tmp"
}

# provide_syslog_ng unpacks the distribution's package, whose signature apt checks.
provide_syslog_ng() {
  local tmp
  has_syslog_ng && return 0
  tmp=$(mktemp -d "$cache/.fetch.XXXXXX")
  if (cd "$tmp" && apt-get download -qq syslog-ng-core && dpkg -x syslog-ng-core_*.deb unpacked) >"$cache/syslog-ng.log" 2>&1; then
    rm -rf "$cache/syslog-ng"
    mv "$tmp/unpacked" "$cache/syslog-ng"
  else
    tail -n 5 "$cache/syslog-ng.log"
    lacking "syslog-ng: apt-get could not download syslog-ng-core (log: $cache/syslog-ng.log)"
  fi
  rm -rf "$tmp"
}

pin() {
  local tmp name
  tmp=$(mktemp -d)
  for name in $servers; do
    fetch "$name" "$tmp" >&2
  done
  (cd "$tmp" && find . -type f -printf '%P\n' | LC_ALL=C sort | xargs sha256sum)
  rm -rf "$tmp"
}

main() {
  local name
  if [ "${1:-}" = --pin ]; then
    pin
    return
  fi
  mkdir -p "$cache"
  exec 9>"$cache/.lock"
  flock 9
  install_packages
  for name in $servers; do
    provide "$name"
  done
  provide_syslog_ng
  if [ "$missing" -gt 0 ]; then
    say "$missing missing: the tests that need them are skipped"
    [ "${CI:-}" != true ]
    return
  fi
  say "${servers// /, }, rsyslog, syslog-ng and alertmanager are ready ($cache)"
}

main "$@"
