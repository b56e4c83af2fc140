# Lets another node have the primary of PostgreSQL and the master of Redis, where they are here: that
# takes two seconds each, where their end would be noticed after twenty and five. Run by systemd's
# infisical-unlock.service before Docker stops, whatever for. Where no other node can take over, Docker
# stops all the same.
set -eu
. ./patroni.sh
TOPOLOGY=swarm

# Of one that is no primary, Patroni says so and does nothing. A standby that has just come back is
# made the synchronous one, which alone can take over, within some seconds.
primary() {
    patience=15
    id=$(container postgres)
    test -n "$id" || return 0
    name=$(docker exec "$id" printenv PATRONI_NAME) || return 0
    for attempt in $(seq 10); do
        told=$(to_patroni POST 127.0.0.1 switchover "{\"leader\": \"$name\"}" 2>/dev/null) || true
        case $told in *"no good candidates"* | *sync_standby*) sleep 1 ;; *) break ;; esac
    done
    case $told in '' | "leader name does not match") ;; *) echo "Patroni: $told" ;; esac
}

# The sentinels tell of the new one before they bring the old one to follow it, which nobody waits for.
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

# Nothing is to be had from an engine that has crashed, or hangs; its next start would wait for this.
test "$(systemctl show --property=MainPID --value docker.service)" != 0 || exit 0
timeout 5 docker version >/dev/null 2>&1 || exit 0
primary
master
