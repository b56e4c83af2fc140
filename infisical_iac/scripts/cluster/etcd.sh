# The members of the cluster's etcd, in which is nothing but who is the primary of PostgreSQL.
#
#   etcd.sh abandon            notes beside its data that this node's etcd is to begin anew, for the
#                              next run if this one is killed: they go together
#   etcd.sh stop <service>…    ends them until the stack is rolled out; on a manager
#   etcd.sh ended              ends this node's PostgreSQL, of which the service was ended: the node
#                              may not have heard of it
#   etcd.sh forget             removes what this node has of an earlier etcd
#   etcd.sh member <number>    makes room for a new member in the place of that one; on a node whose
#                              etcd is well
#   etcd.sh secure             has the members reach each other by TLS, which all of them offer; on a node
#                              whose etcd is well
#   etcd.sh led <seconds>      waits until there is a primary
. ./basics.sh
. ./containers.sh
. ./forgetting.sh
stack=infisical
# What a single host has left here is not the cluster's to end.
TOPOLOGY=swarm

abandon() {
    volume=/var/lib/docker/volumes/infisical_etcd
    test ! -d $volume || touch $volume/abandoned
}

# A service scaled to none goes on where its task was just being started again.
stop() {
    there=$(docker service ls --format '{{ .Name }}')
    for service; do
        ! echo "$there" | grep -qx "${stack}_$service" || docker service rm "${stack}_$service" >/dev/null
    done
    # Until the nodes have heard of it.
    sleep 3
}

ended() {
    containers postgres | xargs --no-run-if-empty docker rm --force >/dev/null
    docker ps --quiet >/dev/null || fail "Docker does not answer"
    test -z "$(containers postgres)" || fail "Docker does not end the PostgreSQL of this node"
}

# An etcd that starts with the data of a member that was removed is told so by the others, and ends.
forget() { without etcd; }

# Before the new node is told its number: an etcd that starts there must not meet the old member,
# whose votes it would break, and starts when the stack is rolled out. A member is removed only
# while the others are most of etcd.
member() {
    number=$1
    etcd=$(container etcd)
    test -n "$etcd" || fail "this node runs no etcd, by which etcd-$number could be given its place"
    # One that was added just now may not have started yet.
    for attempt in $(seq 12); do
        ! docker exec "$etcd" etcdctl endpoint health >/dev/null 2>&1 || break
        test "$attempt" -lt 12 || fail "etcd has lost its quorum, so that no member can be \
replaced: see docs/operate/cluster/runbooks.md, 'A lost etcd quorum'"
    done
    members=$(docker exec "$etcd" etcdctl member list)
    peer=http://etcd-$number:2380
    # Whoever knows one by this address knows all so, but where a run ended between two of them.
    case $members in *https://etcd-*:2382*) peer=https://etcd-$number:2382 ;; esac
    echo "$members" |
        awk -F ', *' -v name="etcd-$number" -v peer="//etcd-$number:" '$3 == name || index($4, peer) { print $1 }' |
        while read -r old; do
            docker exec "$etcd" etcdctl member remove "$old" >/dev/null </dev/null
        done
    said=$(docker exec "$etcd" etcdctl member add "etcd-$number" --peer-urls="$peer" 2>&1) ||
        fail "etcd does not take etcd-$number: $(echo "$said" | tail -n 1)"
}

# One after the other, each while most of the members hear of it. Whoever goes on to have them listen to
# TLS alone has to be sure of all.
secure() {
    etcd=$(container etcd)
    for attempt in $(seq 12); do
        members=$(docker exec "$etcd" etcdctl member list 2>/dev/null || true)
        case $members in *http://*:2380*) ;; *https://*:2382*) return ;; esac
        echo "$members" | sed -n 's|^\([0-9a-z]*\), .*http://\(etcd-[0-9]*\):2380.*|\1 \2|p' |
            while read -r id name; do
                docker exec "$etcd" etcdctl member update "$id" --peer-urls="https://$name:2382" \
                    >/dev/null 2>&1 </dev/null || sleep 1
            done
    done
    fail "etcd does not have all its members reach each other by TLS: see docs/operate/cluster/runbooks.md, \
'A lost etcd quorum', and run again"
}

led() {
    limit=$(($(date +%s) + $1))
    until docker exec "$(container etcd)" etcdctl get --print-value-only /patroni/infisical/leader \
        2>/dev/null | grep -q .; do
        test "$(date +%s)" -lt "$limit" || fail "no PostgreSQL has become the primary within $1 s: \
see docs/operate/cluster/runbooks.md, 'Nobody becomes primary'"
        sleep 1
    done
}

"$@"
