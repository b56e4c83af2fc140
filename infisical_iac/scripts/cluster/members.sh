# Counts the healthy members of etcd and PostgreSQL by their own answers: a task that runs may not
# have rejoined them yet. Only a data node can ask them; elsewhere both are 0.
#
#   data                            prints "<members of etcd> <PostgreSQLs>", which counts a running
#                                   primary and the standbys that stream from it
#   as_many <members> <PostgreSQLs> succeeds if at least that many are healthy; else prints the
#                                   numbers as an error
. ./containers.sh

data() {
    members=$(docker exec "$(container etcd)" etcdctl endpoint health --cluster 2>&1 |
        grep -c ' is healthy' || true)
    copies=$(docker exec "$(container postgres)" sh -c 'curl --noproxy "*" --silent --max-time 5 \
        "${REST:-http}://127.0.0.1:8008/cluster"' 2>/dev/null | tr '{' '\n' |
        grep -cE '"state": *"streaming"|"role": *"leader".*"state": *"running"' || true)
    echo "$members $copies"
}

as_many() {
    now=$(data)
    if test "${now% *}" -ge "$1" && test "${now#* }" -ge "$2"; then return 0; fi
    echo "healthy members: etcd ${now% *}, PostgreSQL ${now#* }, instead of $1 and $2" >&2
    return 1
}
