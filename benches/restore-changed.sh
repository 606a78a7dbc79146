#!/usr/bin/env bash
# Restores a tree of SIZE MiB (default 10240, files of 1 MiB) over a copy of which 1 % of the files changed.
#   benches/restore-changed.sh [SIZE] [FOLDER]
# Prints for each restore the seconds, the bytes fetched from the repository and the bytes written. Needs three
# times the size in FOLDER (default: where temporary files go). COFFER names the binary to measure.
set -euo pipefail
size=${1:-10240}
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
"$coffer" -q backup "$work/tree"

# Runs a restore over the target, and prints what it cost.
measure() {
    local label=$1 start end line
    shift
    start=$(date +%s.%N)
    line=$("$coffer" --json restore "latest:$work/tree" --target "$work/target" "$@" | tail -n 1)
    end=$(date +%s.%N)
    field() { grep -o "\"$1\":[0-9]*" <<<"$line" | cut -d: -f2; }
    awk -v label="$label" -v from="$start" -v to="$end" -v fetched="$(field bytes_fetched)" \
        -v written="$(field bytes_restored)" 'BEGIN {
            printf "%-28s %8.2f s  %14.0f B fetched  %14.0f B written\n", label, to - from, fetched, written }'
}

# Turns one byte of each hundredth file over, at least of one.
change() {
    for ((file = 0; file < size; file += 100)); do
        printf 'changed' |
            dd of="$work/target/$((file % 100))/$file" bs=1 seek=500000 conv=notrunc status=none
    done
}

measure "into an empty folder"
measure "nothing changed, always"
change
measure "1 % changed, always"
change
measure "1 % changed, if-changed" --overwrite if-changed
measure "nothing changed, --verify" --verify
diff -r "$work/tree" "$work/target"
