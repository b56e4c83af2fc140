# Talks to Patroni through the PostgreSQL container of this host.
#
#   patroni           prints its answers to /config and to /cluster, each as "patroni <JSON>"
#   configure <JSON>  merges it into the dynamic configuration
#   restart <name>    restarts the PostgreSQL of a member, if a parameter of it waits for a restart
. ./containers.sh

patroni() {
    docker exec "$(container postgres)" sh -c 'at=${REST:-http}://127.0.0.1:8008
        curl --noproxy "*" --silent --fail --max-time 5 --write-out "\n" "$at/config" "$at/cluster"' 2>/dev/null |
        sed -n 's/^{/patroni {/p' || true
}

# Sends Patroni a request and prints the answer: to_patroni <method> <host> <path> <JSON>. It may
# take $patience seconds. curl reads the password that Patroni was started with from standard input.
to_patroni() {
    docker exec "$(container postgres)" sh -c '. /run/secrets/env
        echo "user = \"patroni:$PATRONI_PASSWORD\"" | curl --noproxy "*" --config - --silent --show-error --fail-with-body \
            --max-time "$5" --request "$1" --data "$4" "${REST:-http}://$2:8008/$3"' \
        sh "$@" "${patience-150}"
}

configure() { to_patroni PATCH 127.0.0.1 config "$1" >/dev/null; }

restart() { to_patroni POST "$1" restart '{"restart_pending": true}' >/dev/null; }
