# Checks that the cluster is complete. Prints what is missing as an error.
#
#   whole <part>…   of `nodes`, `services` and `data`
#
# Succeeds on a host outside a swarm, and on a worker, which can't see the others.
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
    # Without a leader nothing is listed, which does not mean that nothing is missing.
    listed=$(docker node ls --format '{{ .Status }} {{ .Availability }} {{ .ManagerStatus }}') ||
        return 1
    ! echo "$listed" | grep -vE '^Ready Active (Leader|Reachable)?$' >&2
}

# Succeeds if each service has all its tasks.
services_there() {
    listed=$(docker service ls --format '{{ .Name }} {{ .Replicas }}') || return 1
    echo "$listed" |
        awk '{ split($2, n, "/"); if (n[1] != n[2]) { print; short = 1 } } END { exit short }' >&2
}

# Succeeds if each service of etcd and of PostgreSQL has a healthy member.
data_there() {
    listed=$(docker service ls --format '{{ .Name }}') || return 1
    as_many "$(echo "$listed" | grep -c '^infisical_etcd-')" \
        "$(echo "$listed" | grep -c '^infisical_postgres-')"
}
