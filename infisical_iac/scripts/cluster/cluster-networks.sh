# Removes networks of the stack on the leader, so that a roll-out can re-create them.
#
#   cluster-networks.sh await_master <seconds>   waits until one of the Redis servers is the master
#   cluster-networks.sh remove "<service>…" "<network>…"   stops and removes the services that use
#                                          the networks, then the networks; volumes stay
. ./basics.sh
. ./containers.sh
. ./tasks.sh

remove() {
    there=
    for name in $1; do
        ! docker service inspect "$name" >/dev/null 2>&1 || there="$there $name"
    done
    for name in $there; do
        docker service scale --detach "$name=0" >/dev/null 2>&1 ||
            docker service update --detach --constraint-add node.role==nobody "$name" >/dev/null
    done
    for attempt in $(seq 180); do
        found=$(test -z "$there" || left $there)
        test -n "$found" || break
        sleep 1
    done
    test -z "$found" || fail "these still run 3 minutes after they were to be stopped: $found"
    test -z "$there" || docker service rm $there >/dev/null
    for name in $2; do
        for attempt in $(seq 60); do
            said=$(docker network rm "$name" 2>&1) && break
            docker network inspect "$name" >/dev/null 2>&1 || break
            test "$attempt" -lt 60 || fail "Docker does not remove the network $name: $said"
            sleep 1
        done
    done
    # Nodes know a removed network for a moment longer, and would use it instead of the new one.
    sleep 5
}

await_master() {
    for attempt in $(seq "$1"); do
        docker exec "$(container redis)" sh -c '. /run/secrets/env; for number in 1 2 3; do
            REDISCLI_AUTH=$REDIS_PASSWORD timeout 5 redis-cli $CLI -h "redis-$number" role; done' \
            2>/dev/null | grep -qx master && return 0
        sleep 1
    done
    fail "no Redis has become the master within $1 s: see \`infisical-iac docs runbooks\`"
}

"$@"
