# The engine of a cluster's host.
#
#   engine.sh reload <file>    lets it read its configuration <file> without a restart
#   engine.sh ready            fails with why if the cluster can't do without the host for a while;
#                              else prints "<members of etcd> <PostgreSQLs>" that are well
#   engine.sh settle <seconds> <members> <PostgreSQLs>   waits until the host's part in the swarm
#                              works, and, as a manager sees it, all nodes are there, each service
#                              has all its tasks, and as many as that keep the data again
#   engine.sh seen <node> <seconds>   waits until the swarm has the node; on a manager that works, or
#                              will again
. ./basics.sh
. ./together.sh

on() { docker info --format '{{ .LiveRestoreEnabled }}' 2>/dev/null | grep -qx true; }

reload() {
    systemctl reload docker.service
    for attempts in $(seq 30); do
        if ! on; then
            # A file that is newer than the engine's start would ask for a restart.
            touch --date="$(systemctl show --property=ExecMainStartTimestamp --value docker.service)" "$1"
            return 0
        fi
        sleep 1
    done
    fail "Docker still has live-restore on after it read $1 anew"
}

ready() {
    whole nodes || fail "another node is not there, and with both away there would be no majority: \
bring that one back first"
    now=$(data)
    test -z "$(container etcd)" || test "${now% *}" -ge 3 || fail "of etcd ${now% *} members are well, \
and without this host's there would be no majority: see docs/operate/cluster/runbooks.md"
    echo "$now"
}

seen() {
    limit=$(($(date +%s) + $2))
    until docker node inspect --format '{{ .Status.State }}' "$1" 2>/dev/null | grep -qx ready; do
        test "$(date +%s)" -lt "$limit" || fail "the swarm still takes it for down: see \
\`journalctl -u docker\` there"
        sleep 1
    done
}

settle() {
    limit=$(($(date +%s) + $1))
    until whole nodes services && as_many "$2" "$3"; do
        test "$(date +%s)" -lt "$limit" || exit 1
        sleep 1
    done
}

"$@"
