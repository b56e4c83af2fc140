# Whether all of the cluster is there; what is not is told as an error. Of a host of its own nothing
# is to be said, and a worker sees no more than that it is in there.

# Its nodes.
nodes_there() {
    case $(docker info --format '{{ .Swarm.LocalNodeState }} {{ .Swarm.ControlAvailable }}') in
    "active true") ;;
    inactive* | "active false") return 0 ;;
    *) return 1 ;;
    esac
    # Without a leader nothing is listed, which is not the same as that nothing is missing.
    found=$(docker node ls --format '{{ .Status }} {{ .Availability }} {{ .ManagerStatus }}') ||
        return 1
    ! echo "$found" | grep -vE '^Ready Active (Leader|Reachable)?$' >&2
}

# Each service with all its tasks.
services_there() {
    case $(docker info --format '{{ .Swarm.LocalNodeState }} {{ .Swarm.ControlAvailable }}') in
    *" true") ;;
    *" false") return 0 ;;
    *) return 1 ;;
    esac
    found=$(docker service ls --format '{{ .Name }} {{ .Replicas }}') || return 1
    echo "$found" |
        awk '{ split($2, n, "/"); if (n[1] != n[2]) { print; short = 1 } } END { exit short }' >&2
}

together() { nodes_there && services_there; }
