# Talks to Patroni through the PostgreSQL container of this host.
. ./containers.sh

# Sends Patroni a request and prints the answer: to_patroni <method> <host> <path> <JSON>. It may
# take $patience seconds. curl reads the password that Patroni was started with from standard input.
to_patroni() {
    docker exec "$(container postgres)" sh -c '. /run/secrets/env
        echo "user = \"patroni:$PATRONI_PASSWORD\"" | curl --noproxy "*" --config - --silent --show-error --fail-with-body \
            --max-time "$5" --request "$1" --data "$4" "${REST:-http}://$2:8008/$3"' \
        sh "$@" "${patience-150}"
}
