# Reports the runs of a timer. backup.sh and drill.sh source it, and set before
#
#   $here      the directory of the scripts
#   $state     the directory of last.json, history.jsonl and metrics.prom, each written whole, and of
#              `running`, which exists during a run
#   $work      a directory for temporary files of a run
#   $metrics   the prefix of the metrics' names

# node_exporter, as Debian and Ubuntu package it, reads metrics from files in this directory.
collector=/var/lib/prometheus/node-exporter

# Removes characters that would need escapes in JSON or in a line of the journal.
plain() {
    LC_ALL=C tr '\n\t"\\' "  '/" | LC_ALL=C tr -cd '[:print:]' | sed 's/ *$//' | cut -c 1-400
}

utc() { test -z "$1" || date --utc --date "@$1" +%Y-%m-%dT%H:%M:%SZ; }

store() { cat >"$1.new" && sync "$1.new" && mv -f "$1.new" "$1"; }

# Appends last.json as one line to history.jsonl, which keeps the last 400 runs for `status --html`.
# Without free space the history stays as it is, since a run must not fail for it.
add_to_history() {
    {
        cat "$state/history.jsonl" 2>/dev/null || true
        tr '\n' ' ' <"$state/last.json"
        echo
    } | tail -n 400 | store "$state/history.jsonl" || rm -f "$state/history.jsonl.new"
}

# Uses the repository of a target: backup_target save|list|fetch <target> …, as agent/restic.py
# describes.
backup_target() {
    for agent in "$here"/agent-*.pyz; do
        python3 -IS "$agent" --backup-target "$@"
        return
    done
}

# Runs a command. Leaves its output in $work/said, and the reason of a failure in $reason. Keeps its
# errors in memory, since the disk may be full.
attempt() {
    if errors=$("$@" 2>&1 >"$work/said"); then
        reason=
    else
        reason=$(echo "$errors" | tail -n 1 | plain)
        reason=${reason:-it ended without a reason}
    fi
    test -z "$errors" || echo "$errors" >&2
}

# Prints a metric's description and, if given, its value.
metric() {
    printf '# HELP %s_%s %s\n# TYPE %s_%s gauge\n' "$metrics" "$1" "$2" "$metrics" "$1"
    test -z "${3-}" || echo "${metrics}_$1 $3"
}

# Writes the metrics on standard input to the directories that monitoring reads.
publish() {
    store "$state/metrics.prom"
    if [ -d "$collector" ]; then
        store "$collector/$metrics.prom" <"$state/metrics.prom"
        chmod 644 "$collector/$metrics.prom"
    fi
}

# Reports to the journal and the webhook that $1 has failed.
alarm() {
    reason="the run was interrupted"
    test -e "$state/running" ||
        reason=$(sed -n 's/.*"failure": *"\([^"]*\)".*/\1/p' "$state/last.json" 2>/dev/null || true)
    text="$1 on $(hostname) failed: $reason"
    echo "<3>$text" >&2
    webhook=/etc/infisical/backup/webhook
    test -s "$webhook" || exit 0
    printf '{"text": "%s", "of": "%s", "at": "%s", "error": "%s"}\n' \
        "$text" "$(hostname)" "$(utc "$(date +%s)")" "$reason" |
        curl --config "$webhook" --silent --show-error --fail --output /dev/null \
            --max-time 20 --retry 3 --header 'Content-Type: application/json' --data-binary @-
}
