#!/usr/bin/env bash
# Tells the highest anonymous memory of commands over trees of empty files.
#   benches/tree-memory.sh [FOLDER] [COUNT]...
# COUNT (default: 1000 10000 100000 1000000) is the number of files, a hundred in a directory; FOLDER
# (default: where temporary files go) needs a few KiB of room for each of them. COFFER names the binary to measure.
set -euo pipefail
folder=${1:-${TMPDIR:-/tmp}}
shift || true
[ $# -gt 0 ] || set -- 1000 10000 100000 1000000
cd "$(dirname "${BASH_SOURCE[0]}")/.."
coffer=${COFFER:-$PWD/target/release/coffer}
[ -x "$coffer" ] || { echo "build it first: cargo build --release -p coffer" >&2; exit 2; }
work=$(mktemp -d "$folder/coffer-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
export COFFER_REPOSITORY=$work/repo COFFER_KEY_FILE=$work/key COFFER_CACHE_DIR=$work/cache \
    COFFER_STATE_DIR=$work/state

# Runs a command, and looks at its memory every few milliseconds until it has ended.
measure() {
    local label=$1 pid peak=0 name value unit start end
    shift
    start=$(date +%s.%N)
    "$coffer" -q "$@" >/dev/null &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        while read -r name value unit; do
            if [ "$name" = RssAnon: ] && [ "$value" -gt "$peak" ]; then peak=$value; fi
        done <"/proc/$pid/status" || true
        read -rt 0.005 <> <(:) || true
    done 2>/dev/null
    wait "$pid"
    end=$(date +%s.%N)
    awk -v label="$label" -v from="$start" -v to="$end" -v peak="$peak" 'BEGIN {
        printf "  %-18s %8.2f s  %7.1f MiB anonymous\n", label, to - from, peak / 1024 }'
}

for count in "$@"; do
    echo "$count files"
    mkdir "$work/tree"
    (cd "$work/tree" && seq $((count / 100)) | xargs mkdir &&
        seq "$count" | awk '{ print (($1 - 1) % int('"$count"' / 100) + 1) "/file-of-the-tree-" $1 }' | xargs touch)
    "$coffer" -q init >/dev/null 2>&1
    measure backup backup "$work/tree"
    # What changed shortly before it was read is not believed the next time.
    sleep 3
    measure "backup, again" backup "$work/tree"
    measure "backup, unchanged" backup "$work/tree"
    measure restore restore latest --target "$work/target"
    measure "restore, again" restore latest --target "$work/target"
    measure check check
    measure verify verify
    measure stats stats
    rm -rf "$work/tree" "$work/target" "$work/repo" "$work/cache" "$work/state" "$work/key"
done
