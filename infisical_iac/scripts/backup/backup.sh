# Backs up Infisical's database, run by systemd's infisical-backup.service:
#
#   backup.sh run      makes a snapshot of the database and saves it in every target, even if one of
#                      them fails. Does nothing, and succeeds, while a restore or an upgrade is under
#                      way. On a cluster each node saves in its own directories, and only the
#                      Swarm's leader in the shared targets, unless the file `request` asks this
#                      node to do that
#   backup.sh ended    cleans up after a run that was killed, and records that it was killed
#   backup.sh failed   reports a failure to the journal and the webhook
#   backup.sh list     prints for each target "target <name>", and "snapshots <JSON>" or
#                      "error <reason>"
#
# backup-dump.sh makes the dump, and the agent uses the repositories.
set -eu
umask 077
here=$(dirname "$0")
root=/etc/infisical/backup
state=/var/lib/infisical-backup
work=$state/work
metrics=infisical_backup
. ./variables.sh
take_variables "$root/backup.conf" TARGETS NODE SHARED
. "$here/reporting.sh"
. ./sharing.sh

# Prints a field $2 of the record of the target $1: "success", "snapshot", "added" and "snapshots" are
# of its last success, and "error" is of the last run.
known() { sed -n "s/^$2 //p" "$state/targets/$1" 2>/dev/null || true; }

save() {
    attempt backup_target save "$1" "$work"
    {
        if grep -q '^snapshot ' "$work/said"; then
            echo "success $(date +%s)"
            cat "$work/said"
        else
            grep -v '^error ' "$state/targets/$1" 2>/dev/null || true
        fi
        echo "error $reason"
    } | store "$state/targets/$1"
}

clear() {
    mkdir -p "$work" "$state/targets"
    find "$work" -mindepth 1 -delete
}

# The database sessions of a killed run would hold their locks for ever.
end_sessions() {
    timeout 30 sh "$here/backup-dump.sh" end >/dev/null 2>&1 || true
}

run() {
    exec 9>"$state/lock"
    # A drill may be reading a snapshot that is about to be removed.
    flock --wait 7200 9 || { echo "a drill has been reading a snapshot for 2 hours" >&2; exit 1; }
    # A restore and an upgrade take this lock before they begin, and keep a file until they end.
    for other in restore upgrade scale; do
        test ! -e "/var/lib/infisical-$other/state" || {
            echo "no backup is made, because the $other that began on this host has not ended"
            exit 0
        }
    done
    clear
    test ! -e "$state/running" || end_sessions
    if [ -e "$state/request" ]; then rm "$state/request"; else own; fi
    date +%s >"$state/running"
    bytes=0
    attempt sh "$here/backup-dump.sh" "$work"
    error=$reason
    if [ -z "$error" ]; then
        bytes=$(stat -c %s "$work/snapshot/database.dump")
        for target in $TARGETS; do
            save "$target"
        done
    fi
    clear
    record
}

ended() {
    test -e "$state/running" || exit 0
    clear
    end_sessions
    bytes=0
    error="the run was ended before it was done (${EXIT_CODE-} ${EXIT_STATUS-})"
    record || true
}

# Returns 1 if anything failed.
record() {
    began=$(cat "$state/running")
    now=$(date +%s)
    failure=$error
    for target in $TARGETS; do
        reason=$(test -n "$error" || known "$target" error)
        test -z "$reason" || failure="${failure:+$failure; }$target: $reason"
    done
    last_json | store "$state/last.json"
    add_to_history
    measured | publish
    rm -f "$state/running"
    test -z "$failure"
}

last_json() {
    comma=
    printf '{"began": "%s", "ended": "%s", "failure": "%s", "bytes": %s, "targets": [' \
        "$(utc "$began")" "$(utc "$now")" "$failure" "$bytes"
    for target in $TARGETS; do
        added=$(known "$target" added) snapshots=$(known "$target" snapshots)
        printf '%s\n  {"name": "%s", "success": "%s", "snapshot": "%s", "added": %s, "snapshots": %s, "error": "%s"}' \
            "$comma" "$target" "$(utc "$(known "$target" success)")" \
            "$(known "$target" snapshot)" "${added:-0}" "${snapshots:-0}" \
            "$(test -n "$error" || known "$target" error)"
        comma=,
    done
    printf '\n]}\n'
}

# Prints one metric for all targets, from the field $3 of each target's record.
of_targets() {
    metric "$1" "$2"
    for target in $TARGETS; do
        value=$(known "$target" "$3")
        test -z "$value" || echo "infisical_backup_$1{target=\"$target\"} $value"
    done
}

measured() {
    metric run_timestamp_seconds "Time of the end of the last run, in seconds since the epoch." "$now"
    metric run_success "1 if the last run succeeded in every target, else 0." \
        "$(test -n "$failure" && echo 0 || echo 1)"
    metric run_duration_seconds "Duration of the last run, in seconds." "$((now - began))"
    metric dump_bytes "Size of the last run's dump in bytes, 0 if it made none." "$bytes"
    of_targets success_timestamp_seconds "Time of the last snapshot, in seconds since the epoch." success
    of_targets added_bytes "Bytes that the last snapshot added to the repository." added
    of_targets snapshots "Number of snapshots in the repository." snapshots
}

failed() { alarm "The backup of Infisical"; }

list() {
    work=$(mktemp --directory)
    trap 'rm -rf "$work"' EXIT
    for target in $TARGETS; do
        echo "target $target"
        attempt backup_target list "$target" 2>/dev/null
        test -z "$reason" && sed 's/^/snapshots /' "$work/said" || echo "error $reason"
    done
}

"$@"
