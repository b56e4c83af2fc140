# Moves PostgreSQL's primary and Redis's master to another node, if they are on this one. Each move
# takes two seconds; a failover takes twenty seconds for PostgreSQL and five for Redis. systemd's
# infisical-unlock.service runs this before Docker stops for any reason. Docker stops even if no
# other node can take over.
set -eu
. ./patroni.sh
TOPOLOGY=swarm

# On a standby, Patroni refuses the switchover and changes nothing. Only the synchronous standby can
# take over; a standby that has just come back becomes it within seconds.
primary() {
    patience=15
    id=$(container postgres)
    test -n "$id" || return 0
    name=$(docker exec "$id" printenv PATRONI_NAME) || return 0
    for attempt in $(seq 10); do
        answer=$(to_patroni POST 127.0.0.1 switchover "{\"leader\": \"$name\"}" 2>/dev/null) || true
        case $answer in *"no good candidates"* | *sync_standby*) sleep 1 ;; *) break ;; esac
    done
    case $answer in '' | "leader name does not match") ;; *) echo "Patroni: $answer" ;; esac
}

# The sentinels report the new master before the old one follows it, which needs no waiting.
master() {
    id=$(container sentinel)
    test -n "$id" || return 0
    timeout 12 docker exec "$id" sh -c '. /run/secrets/env
        export REDISCLI_AUTH=$REDIS_PASSWORD
        sentinel() { redis-cli $CLI -p 26379 --raw sentinel "$@"; }
        here() { sentinel get-master-addr-by-name infisical | grep -qx "redis-${NAME#sentinel-}"; }
        ! here || sentinel failover infisical
        for attempt in $(seq 20); do
            here || break
            sleep 0.5
        done' >/dev/null 2>&1 || true
}

# An engine that has crashed or hangs answers nothing, and its next start would wait for this
# script.
test "$(systemctl show --property=MainPID --value docker.service)" != 0 || exit 0
timeout 5 docker version >/dev/null 2>&1 || exit 0
primary
master
