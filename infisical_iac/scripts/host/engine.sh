# Reloads the Docker engine of a cluster's host, and checks that the cluster tolerates its restart.
#
#   engine.sh reload <file>    has the engine read its configuration <file> without a restart
#   engine.sh ready            fails with the reason if the cluster can't do without the host for a
#                              while; else prints the numbers of healthy ones as "<members of etcd>
#                              <PostgreSQLs>"
#   engine.sh await_health <seconds> <members> <PostgreSQLs>   waits until the host's node is active, all
#                              nodes are there, each service has all its tasks, and that many
#                              members and PostgreSQLs are healthy
#   engine.sh seen <node> <seconds>   waits until the swarm reports the node as ready; on a manager
. ./basics.sh
. ./together.sh

on() { docker info --format '{{ .LiveRestoreEnabled }}' 2>/dev/null | grep -qx true; }

reload() {
    systemctl reload docker.service
    for attempts in $(seq 30); do
        if ! on; then
            # A file newer than the engine's start means that a restart is due.
            touch --date="$(systemctl show --property=ExecMainStartTimestamp --value docker.service)" "$1"
            return 0
        fi
        sleep 1
    done
    fail "Docker still has live-restore on after it reloaded $1"
}

ready() {
    whole nodes || fail "another node is unreachable, and without both there would be no majority: \
bring that one back first"
    now=$(data)
    test -z "$(container etcd)" || test "${now% *}" -ge 3 || fail "only ${now% *} members of etcd are \
healthy, and without this host's there would be no majority: see docs/operate/cluster/runbooks.md"
    echo "$now"
}

seen() {
    limit=$(($(date +%s) + $2))
    until docker node inspect --format '{{ .Status.State }}' "$1" 2>/dev/null | grep -qx ready; do
        test "$(date +%s)" -lt "$limit" || fail "the swarm still reports it as down: see \
\`journalctl -u docker\` there"
        sleep 1
    done
}

await_health() {
    limit=$(($(date +%s) + $1))
    until whole nodes services && as_many "$2" "$3"; do
        test "$(date +%s)" -lt "$limit" || exit 1
        sleep 1
    done
}

"$@"
