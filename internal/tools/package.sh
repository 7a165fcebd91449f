#!/usr/bin/env bash
# Builds deb and rpm from bin/ into dist/ with the packager pinned in internal/tools/package/go.mod.
# SOURCE_DATE_EPOCH is the commit's time, so that a rebuild gives the same bytes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

version=${1#v}
# A package's version starts with a digit.
[[ $version =~ ^[0-9] ]] || version=0.0.0~git.$version
cache=${APPGOVD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/appgovd}
nfpm_version=$(cd internal/tools/package && go list -m -f '{{.Version}}' github.com/goreleaser/nfpm/v2)
nfpm=$cache/bin/nfpm-$nfpm_version-$(go env GOVERSION)

if [ ! -x "$nfpm" ]; then
  mkdir -p "$cache/bin"
  (cd internal/tools/package && go build -trimpath -o "$nfpm.tmp" github.com/goreleaser/nfpm/v2/cmd/nfpm)
  mv "$nfpm.tmp" "$nfpm"
fi
mkdir -p dist
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
PACKAGE_VERSION=$version
PACKAGE_ARCH=$(go env GOARCH)
export SOURCE_DATE_EPOCH PACKAGE_VERSION PACKAGE_ARCH
for kind in deb rpm; do
  "$nfpm" package --config packaging/nfpm.yaml --packager "$kind" --target dist/
done
ls -l dist
