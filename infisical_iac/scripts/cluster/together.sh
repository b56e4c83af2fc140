# Whether the cluster is there; what is not is told as an error.
#
#   whole <part>…   of its nodes, its services and its data
#
# Of a host of its own nothing is to be said, and a worker sees no more than that it is in there.
. ./members.sh

whole() {
    case $(docker info --format '{{ .Swarm.LocalNodeState }} {{ .Swarm.ControlAvailable }}') in
    "active true") ;;
    inactive* | "active false") return 0 ;;
    *) return 1 ;;
    esac
    for part; do "${part}_there" || return 1; done
}

nodes_there() {
    # Without a leader nothing is listed, which is not the same as that nothing is missing.
    listed=$(docker node ls --format '{{ .Status }} {{ .Availability }} {{ .ManagerStatus }}') ||
        return 1
    ! echo "$listed" | grep -vE '^Ready Active (Leader|Reachable)?$' >&2
}

# Each service with all its tasks.
services_there() {
    listed=$(docker service ls --format '{{ .Name }} {{ .Replicas }}') || return 1
    echo "$listed" |
        awk '{ split($2, n, "/"); if (n[1] != n[2]) { print; short = 1 } } END { exit short }' >&2
}

# Each member of etcd and each PostgreSQL that is a service.
data_there() {
    listed=$(docker service ls --format '{{ .Name }}') || return 1
    as_many "$(echo "$listed" | grep -c '^infisical_etcd-')" \
        "$(echo "$listed" | grep -c '^infisical_postgres-')"
}
