#!/usr/bin/env bash
# Builds the servers that tests of the cluster run against, an S3 server and etcd, from the versions pinned in go.mod
# beside this file, and prints export lines for the environment: eval "$(test/servers/build.sh)".
# A binary is named after its version and kept in $TEST_CACHE/bin (default ~/.cache/weir/bin); what is there is not built again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
bin=${TEST_CACHE:-$HOME/.cache/weir}/bin
mkdir -p "$bin"

# build VARIABLE NAME MODULE PACKAGE
build() {
  local version target
  version=$(sed -n "s|^[[:space:]]*$3 \(v[^ ]*\).*|\1|p" go.mod)
  [[ $version ]] || { echo "go.mod pins no $3" >&2; exit 1; }
  target=$bin/$2-$version
  if [[ ! -x $target ]]; then
    echo "building $2 $version" >&2
    # To a name of its own first: another build may run at the same time.
    CGO_ENABLED=0 GOFLAGS=-trimpath ${GO:-go} build -o "$target.$$" "$4"
    mv "$target.$$" "$target"
  fi
  echo "export $1=$target"
}

build TEST_VERSITYGW versitygw github.com/versity/versitygw github.com/versity/versitygw/cmd/versitygw
build TEST_ETCD etcd go.etcd.io/etcd/server/v3 go.etcd.io/etcd/server/v3
build TEST_ETCDUTL etcdutl go.etcd.io/etcd/etcdutl/v3 go.etcd.io/etcd/etcdutl/v3
