#!/usr/bin/env bash
# Everything that looks at the code without running it. The linter is pinned in internal/tools/lint/go.mod; its build
# takes minutes, so the binary is kept outside the tree, by version.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

cache=${APPGOVD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/appgovd}
linter_version=$(cd internal/tools/lint && go list -m -f '{{.Version}}' github.com/golangci/golangci-lint/v2)
linter=$cache/bin/golangci-lint-$linter_version-$(go env GOVERSION)
failed=0

# step NAME COMMAND...: all steps run, so that one look shows every offender.
step() {
  local name=$1 from=$SECONDS
  shift
  if "$@"; then
    printf 'lint: %-10s ok (%ds)\n' "$name" $((SECONDS - from))
  else
    printf 'lint: %-10s FAILED (%ds)\n' "$name" $((SECONDS - from))
    failed=1
  fi
}

format() {
  local unformatted
  unformatted=$(git ls-files -co --exclude-standard '*.go' | xargs -r ls -d 2>/dev/null | xargs -r gofmt -l)
  [ -z "$unformatted" ] || { printf 'not formatted, run make fmt:\n%s\n' "$unformatted"; return 1; }
}

golangci() {
  if [ ! -x "$linter" ]; then
    echo "lint: building golangci-lint $linter_version, once"
    mkdir -p "$cache/bin"
    (cd internal/tools/lint && go build -trimpath -o "$linter.tmp" github.com/golangci/golangci-lint/v2/cmd/golangci-lint)
    mv "$linter.tmp" "$linter"
  fi
  "$linter" run ./...
}

# fingerprint of every file that git knows or would add.
fingerprint() { git ls-files -co --exclude-standard | xargs -r -d '\n' sha256sum 2>/dev/null | sha256sum; }

generated() {
  local before
  before=$(fingerprint)
  go generate ./...
  [ "$before" = "$(fingerprint)" ] || { echo 'generated files were out of date: commit what make generate wrote'; return 1; }
}

scripts() {
  local s
  for s in .ci/run internal/tools/*.sh internal/tools/*/*.sh; do bash -n "$s" || return 1; done
}

step gofmt format
step vet go vet ./...
step golangci golangci
step generated generated
step scripts scripts
step unit internal/tools/exposure.sh packaging/systemd/appgovd.service
exit "$failed"
