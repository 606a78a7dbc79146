#!/usr/bin/env bash
# Kills a first backup of SIZE MiB (default 20480, files of 1 MiB) with SIGKILL when about half of it is stored,
# and runs it again.
#   benches/resume.sh [SIZE] [FOLDER]
# Prints what the second run read and stored. Needs twice the size in FOLDER (default: where temporary files go).
# COFFER names the binary to measure.
set -euo pipefail
size=${1:-20480}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
coffer=${COFFER:-$PWD/target/release/coffer}
[ -x "$coffer" ] || { echo "build it first: cargo build --release -p coffer" >&2; exit 2; }
work=$(mktemp -d "${2:-${TMPDIR:-/tmp}}/coffer-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
export COFFER_REPOSITORY=$work/repo COFFER_KEY_FILE=$work/key COFFER_CACHE_DIR=$work/cache \
    COFFER_STATE_DIR=$work/state

mkdir "$work/tree"
for ((file = 0; file < size; file++)); do
    mkdir -p "$work/tree/$((file % 100))"
    head -c 1048576 /dev/urandom >"$work/tree/$((file % 100))/$file"
done
"$coffer" -q init >/dev/null

stored() { du -sm --apparent-size "$work/repo/packs" 2>/dev/null | cut -f1; }
"$coffer" -q backup --racy-window 0s "$work/tree" &
backup=$!
until [ "$(stored || echo 0)" -ge $((size / 2)) ]; do sleep 0.2; done
kill -KILL "$backup"
wait "$backup" 2>/dev/null || true
before=$(stored)
echo "killed with $before MiB stored"

start=$(date +%s.%N)
line=$("$coffer" --json backup --racy-window 0s "$work/tree" | tail -n 1)
end=$(date +%s.%N)
field() { grep -o "\"$1\":[0-9]*" <<<"$line" | cut -d: -f2; }
awk -v from="$start" -v to="$end" -v kept="$(field files_unmodified)" -v new="$(field files_new)" \
    -v added="$(field data_added)" -v stored=$(($(stored) - before)) 'BEGIN {
        printf "again: %.2f s, %d files taken over, %d read, %.0f MiB of new data, %d MiB stored\n",
            to - from, kept, new, added / 1048576, stored }'
"$coffer" -q verify
