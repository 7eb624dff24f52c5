#!/bin/sh
# The shop's server, and DALBI before it on port 8080, with a state directory of their own. Ctrl-C ends both.
#
# Runs the `dalbi` that is named by DALBI, is on the PATH, or was built here with --release.
set -eu

here=$(dirname "$0")
built=$here/../../target/release/dalbi
dalbi=${DALBI:-$(command -v dalbi || echo "$built")}
export DALBI_STATE="${DALBI_STATE:-/tmp/dalbi-bad-rollout}"
server=
stop() {
    trap - EXIT INT TERM
    kill "$server" 2>/dev/null || true
    wait
}
trap stop EXIT INT TERM

"$dalbi" upstream --listen 127.0.0.1:9301 --name shop --latency exp:4ms &
server=$!
"$dalbi" run "$here/good" --watch=false
