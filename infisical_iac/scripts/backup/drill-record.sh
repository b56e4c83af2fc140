# How a drill's run is recorded: for the next one, for `status`, and as metrics.

# Keeps what is known of the snapshot, of which the files are about to go.
keep() { at=$(told .at 2>/dev/null || true) version=$(told .infisical.version 2>/dev/null || true); }

found() { echo "$looked" | sed -n "s/^$1 //p"; }
number() { found "$1" | grep . || echo 0; }

# Returns 1 if anything failed.
record() {
    began=$(cat "$state/running")
    now=$(date +%s)
    failure=$(echo "$error" | plain)
    success=$(jq --raw-output '.success // ""' "$state/last.json" 2>/dev/null || true)
    test -n "$failure" || success=$(utc "$now")
    last_json | store "$state/last.json"
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
    metric run_timestamp_seconds "When the last drill ended, since the epoch."
    echo "infisical_drill_run_timestamp_seconds $now"
    metric run_success "Whether the last drill proved its snapshot."
    echo "infisical_drill_run_success $(test -n "$failure" && echo 0 || echo 1)"
    metric run_duration_seconds "How long the last drill took."
    echo "infisical_drill_run_duration_seconds $((now - began))"
    metric secrets "How many secrets the last drill decrypted."
    echo "infisical_drill_secrets $(number secrets)"
    metric success_timestamp_seconds "When a drill last proved a snapshot, since the epoch."
    test -z "$success" ||
        echo "infisical_drill_success_timestamp_seconds $(date --date "$success" +%s)"
}
