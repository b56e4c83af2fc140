# Runs a drill for systemd's infisical-drill.service: restores a snapshot into a Compose project of its
# own, next to the live one, which is never touched, and reads its secrets.
#
#   drill.sh run <seconds>   each container has <seconds> to become healthy. The file `request`
#                            may name a snapshot and a target; the default is the latest snapshot of
#                            the first target that has it whole. On a cluster the drills of the
#                            nodes begin 20 minutes apart. Without a request, each node reads its own
#                            directories; only the Swarm's leader also reads the shared targets
#   drill.sh ended           cleans up after a run that was killed, and records that it was killed
#   drill.sh failed          reports a failure to the journal and the webhook
#
# It uses snapshot.sh, drill-look.sh and the agent.
set -eu
umask 077
here=$(dirname "$0")
state=/var/lib/infisical-drill
work=$state/work
metrics=infisical_drill
project=infisical-drill
manifest=$state/fetched/manifest.json
. ./variables.sh
take_variables /etc/infisical/backup/backup.conf TARGETS NODE SHARED
. "$here/reporting.sh"
. ./containers.sh
. ./free-space.sh
. ./sharing.sh

target='' snapshot='' failures='' error='' observed=''

# A restore or a change of version takes precedence.
busy() { test -e /var/lib/infisical-restore/state || test -e /var/lib/infisical-upgrade/state; }

put_off() {
    clear
    rm -f "$state/running"
    echo "The drill is skipped, because a restore or a change of version is under way."
    exit 0
}

clear() {
    mkdir -p "$work"
    find "$work" -mindepth 1 -delete
    attempt sh "$here/snapshot.sh" clean "$state" "$project"
    find "$work" -mindepth 1 -delete
}

# Prints a value of the snapshot's manifest, selected by a filter of jq.
manifest_value() { jq --raw-output "$1 // \"\"" "$manifest"; }

# Sets the snapshot, and the size of its dump, from its tags.
pick() {
    snapshot='' bytes=0
    read -r snapshot bytes <<END || true
$(jq --raw-output --arg id "$requested" '
        map(select($id == "latest" or (.id | startswith($id)))) | last // empty
        | (.tags | map(select(startswith("bytes=")) | .[6:]) | first // 0) as $bytes
        | "\(.short_id) \($bytes)"' "$work/said")
END
}

# A drill must leave free space for the live instance.
has_space_for_snapshot() {
    has_free_space "$((bytes / 1024 + 262144))" "$state" && return
    reason="the snapshot $takes in $state, which $has"
    return 1
}

fetch() {
    attempt backup_target list "$1"
    test -z "$reason" || return
    pick
    reason="there is no snapshot"
    test "$requested" = latest || reason="$reason $requested"
    test -n "$snapshot" && has_space_for_snapshot || return
    attempt sh "$here/snapshot.sh" fetch "$state" "$1" "$snapshot"
}

# Without the lock of backups, a backup could remove the snapshot that is being read.
fetched() {
    exec 8>>/var/lib/infisical-backup/lock
    reason="a backup has been at work for 2 hours: wait for its end"
    flock --wait 7200 8 || return
    for target in ${only:-$TARGETS}; do
        fetch "$target"
        test -n "$reason" || break
        failures="${failures:+$failures; }$target: $reason"
        target=
    done
    exec 8>&-
    test -z "$target" || return 0
    reason=$failures failures=
    return 1
}

fits() {
    key=$(sed -n 's/^key //p' "$work/said")
    reason="the snapshot has format $(manifest_value .format), and this version of infisical-iac reads 1"
    test "$(manifest_value .format)" = 1 || return
    reason="the snapshot needs the encryption key with fingerprint $(manifest_value .encryption_key), and \
/etc/infisical/keys/encryption_key has $key"
    test "$(manifest_value .encryption_key)" = "$key"
}

is_here() { docker image inspect "$1" >/dev/null 2>&1; }

# Sets the image of the snapshot's version.
chosen() {
    for INFISICAL_IMAGE in "$(manifest_value .infisical.id)" "$(manifest_value .infisical.digest)"; do
        test -z "$INFISICAL_IMAGE" || ! is_here "$INFISICAL_IMAGE" || return 0
    done
    version=$(manifest_value .infisical.version)
    live=$(container infisical)
    case $(docker inspect --format '{{ .Config.Image }}' "$live" 2>/dev/null)@ in
    *":$version@"*) INFISICAL_IMAGE=$(docker inspect --format '{{ .Image }}' "$live") ;;
    *)
        reason="the snapshot is of Infisical $version, whose image $(manifest_value .infisical.image) is not \
on this host"
        return 1
        ;;
    esac
}

# Prints the differences between the loaded rows and the manifest.
difference() {
    jq --null-input --raw-output --slurpfile manifest "$manifest" --rawfile loaded "$work/said" '
        $manifest[0].rows as $expected
        | ($loaded / "\n" | map(select(. != "") / " " | {(.[0]): (.[1] | tonumber)}) | add) as $is
        | [$expected + $is | keys[] | select($expected[.] != $is[.])
            | "\(.) \($is[.] // 0) instead of \($expected[.] // 0)"]
        | .[:3] + (if length > 3 then ["\(length - 3) more"] else [] end) | join(", ")'
}

loaded() {
    # Keys of its own: no token of the drill is valid at the live instance, and a rotation of the
    # host's passwords does not disturb the drill.
    for name in AUTH_SECRET POSTGRES_PASSWORD REDIS_PASSWORD; do
        export "$name=$(od -An -v -tx1 -N 32 /dev/urandom | tr -d ' \n')"
    done
    export INFISICAL_IMAGE
    attempt sh "$here/snapshot.sh" load "$state" "$project" "$seconds"
    test -z "$reason" || return
    wrong=$(difference)
    reason="the restored database has other numbers of rows than the snapshot's manifest: $wrong"
    test -z "$wrong"
}

served() {
    attempt sh "$here/snapshot.sh" serve "$state" "$project" "$seconds"
    test -z "$reason" || return
    attempt sh "$here/drill-look.sh" "http://$(cat "$work/said"):8080" "$work"
    observed=$(cat "$work/said")
    test -z "$reason"
}

# Drills never run on all nodes of a cluster at once, since a drill slows its node down.
take_turn() { sleep "$(((${NODE:-1} - 1) * 1200))"; }

run() {
    seconds=$1 requested=latest only=
    # An old request is ignored, because its command no longer waits for the drill.
    if [ -n "$(find "$state" -name request -mmin -5)" ]; then
        read -r requested only <"$state/request"
    else
        own
        take_turn
    fi
    rm -f "$state/request"
    clear
    for attempts in $(seq 120); do
        busy || break
        sleep 5
    done
    ! busy || put_off
    date +%s >"$state/running"
    if fetched && fits && chosen && loaded && served; then
        error=${failures:+$failures; but the snapshot of $target is good}
    else
        error=${failures:+$failures; }${target:+$target: }$reason
    fi
    ! { test -n "$error" && busy; } || put_off
    keep
    clear
    test -z "$reason" || error="${error:+$error; }the drill can't be removed: $reason"
    record
}

# Keeps the snapshot's details before its files are removed.
keep() {
    at=$(manifest_value .at 2>/dev/null || true)
    version=$(manifest_value .infisical.version 2>/dev/null || true)
}

found() { echo "$observed" | sed -n "s/^$1 //p"; }
number() { found "$1" | grep . || echo 0; }

# Returns 1 if anything failed.
record() {
    began=$(cat "$state/running")
    now=$(date +%s)
    failure=$(echo "$error" | plain)
    success=$(jq --raw-output '.success // ""' "$state/last.json" 2>/dev/null || true)
    test -n "$failure" || success=$(utc "$now")
    last_json | store "$state/last.json"
    add_to_history
    measured | publish
    rm -f "$state/running"
    test -z "$failure" || return 1
    echo "The drill proved snapshot $snapshot of $target, made at $at: $(found secrets) \
secret$(test "$(found secrets)" = 1 || echo s) in $(found folders) folders read \
as $(found login), canary $(found canary), in $((now - began)) s"
}

last_json() {
    jq --null-input --compact-output --arg began "$(utc "$began")" --arg ended "$(utc "$now")" \
        --arg failure "$failure" --arg success "$success" --arg target "$target" \
        --arg snapshot "$snapshot" --arg at "${at-}" --arg version "${version-}" \
        --arg login "$(found login)" --arg canary "$(found canary)" \
        --argjson folders "$(number folders)" --argjson secrets "$(number secrets)" '$ARGS.named'
}

measured() {
    metric run_timestamp_seconds "Time of the end of the last drill, in seconds since the epoch." "$now"
    metric run_success "1 if the last drill proved its snapshot, else 0." \
        "$(test -n "$failure" && echo 0 || echo 1)"
    metric run_duration_seconds "Duration of the last drill, in seconds." "$((now - began))"
    metric secrets "Number of secrets that the last drill decrypted." "$(number secrets)"
    metric success_timestamp_seconds "Time of the last drill that proved a snapshot, in seconds since the epoch." \
        "${success:+$(date --date "$success" +%s)}"
}

ended() {
    test -e "$state/running" || exit 0
    error="the drill was ended before it was done (${EXIT_CODE-} ${EXIT_STATUS-})"
    clear
    record || true
}

failed() { alarm "The drill of Infisical's backups"; }

"$@"
