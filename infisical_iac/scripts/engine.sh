# The engine of a cluster's host.
#
#   engine.sh reload <file>    lets it read its configuration <file> without a restart
#   engine.sh nodes            fails if a node of the cluster is not there
#   engine.sh settle <s>       waits until the host's part in the swarm works, and, as a manager
#                              sees it, all nodes are there and each service has all its tasks
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

nodes() { nodes_there; }

settle() {
    for attempts in $(seq "$1"); do
        ! together || return 0
        sleep 1
    done
    return 1
}

"$@"
