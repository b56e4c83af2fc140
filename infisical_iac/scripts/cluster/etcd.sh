# Manages the members of the cluster's etcd, which holds only Patroni's state: which PostgreSQL is
# the primary.
#
#   etcd.sh abandon            marks the data of this node's etcd for removal; the mark is for the
#                              next run, if this one is killed, and is removed with the data
#   etcd.sh stop <service>…    removes the services until the stack is rolled out; on a manager
#   etcd.sh ended              removes this node's PostgreSQL container, whose service was removed:
#                              a node without managers does not learn of that
#   etcd.sh forget             removes the data of this node's earlier etcd
#   etcd.sh member <number>    replaces the registration of that member by a new one; on a node with
#                              a healthy etcd
#   etcd.sh secure             changes the addresses of all members to TLS, which all of them offer
#                              already; on a node with a healthy etcd
#   etcd.sh led <seconds>      waits until PostgreSQL has a primary
. ./basics.sh
. ./containers.sh
. ./forgetting.sh
stack=infisical
# Containers of a former single host on this node do not belong to the cluster.
TOPOLOGY=swarm

abandon() {
    volume=/var/lib/docker/volumes/infisical_etcd
    test ! -d $volume || touch $volume/abandoned
}

# Removes the services: one that is scaled to 0 keeps running if its task is just being restarted.
stop() {
    there=$(docker service ls --format '{{ .Name }}')
    for service; do
        ! echo "$there" | grep -qx "${stack}_$service" || docker service rm "${stack}_$service" >/dev/null
    done
    # The nodes learn of the removal a moment later.
    sleep 3
}

ended() {
    containers postgres | xargs --no-run-if-empty docker rm --force >/dev/null
    docker ps --quiet >/dev/null || fail "Docker does not answer"
    test -z "$(containers postgres)" || fail "Docker does not end the PostgreSQL of this node"
}

# An etcd that starts with the data of a removed member is refused by the others, and ends.
forget() { without etcd; }

# To be called before the new node gets its number, because a roll-out then starts its etcd: an
# empty etcd in the place of a member that is still registered would break that member's votes. etcd
# removes a member only while the others have a majority.
member() {
    number=$1
    etcd=$(container etcd)
    test -n "$etcd" || fail "this node runs no etcd that could add etcd-$number"
    # A member that was just added may not have started yet.
    for attempt in $(seq 12); do
        ! docker exec "$etcd" etcdctl endpoint health >/dev/null 2>&1 || break
        test "$attempt" -lt 12 || fail "etcd has lost its quorum, so that no member can be \
replaced: see \`infisical-iac docs runbooks\`, 'A lost etcd quorum'"
    done
    members=$(docker exec "$etcd" etcdctl member list)
    peer=http://etcd-$number:2380
    # The members have all changed to TLS if one has, unless a run was interrupted in between.
    case $members in *https://etcd-*:2382*) peer=https://etcd-$number:2382 ;; esac
    echo "$members" |
        awk -F ', *' -v name="etcd-$number" -v peer="//etcd-$number:" '$3 == name || index($4, peer) { print $1 }' |
        while read -r old; do
            docker exec "$etcd" etcdctl member remove "$old" >/dev/null </dev/null
        done
    said=$(docker exec "$etcd" etcdctl member add "etcd-$number" --peer-urls="$peer" 2>&1) ||
        fail "etcd does not add etcd-$number: $(echo "$said" | tail -n 1)"
}

# Updates one member after the other; each update takes a majority. Succeeds only if all of them
# have changed, since the caller turns off plain connections next.
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
    fail "not all members of etcd reach each other by TLS: see \`infisical-iac docs runbooks\`, \
'A lost etcd quorum', and run again"
}

led() {
    limit=$(($(date +%s) + $1))
    until docker exec "$(container etcd)" etcdctl get --print-value-only /patroni/infisical/leader \
        2>/dev/null | grep -q .; do
        test "$(date +%s)" -lt "$limit" || fail "no PostgreSQL has become the primary within $1 s: \
see \`infisical-iac docs runbooks\`, 'Nobody becomes primary'"
        sleep 1
    done
}

"$@"
