# Which passwords this host's Redis and its sentinel of a cluster take, at once and without a start.
#
#   redis-passwords.sh hashes            those of the key that is in its place and of those beside it
#   redis-passwords.sh admit <hash>…     they take the passwords with these hashes, after a start too
#   redis-passwords.sh alone <hash>      they take that one alone
#
# A hash is what Redis itself keeps of a password, its SHA-256, which lets nobody in; the file
# `admitted` in their volumes has those that a start takes besides, see templates/cluster/redis.sh.j2.
. ./basics.sh
. ./containers.sh

hashes() {
    for file in "$root"/keys/redis_password "$root"/keys/redis_password.next \
        "$root"/keys/redis_password.old; do
        test ! -s "$file" || printf %s "$(cat "$file")" | sha256sum | cut -c 1-64
    done
}

volume() {
    docker volume inspect --format '{{ .Mountpoint }}' "infisical_$1" 2>/dev/null || true
}

# One that does not run has its file for when it starts; one that starts just now is waited for.
tell() {
    for attempt in $(seq 30); do
        running=$(docker ps --quiet --no-trunc) || fail "Docker does not answer"
        id=$(echo "$running" | grep -xF "$(container "$1")") || return 0
        said=$(echo "ACL SETUSER default $3" | docker exec --interactive "$id" sh -c '
            . /run/secrets/env
            REDISCLI_AUTH=$REDIS_PASSWORD timeout 10 redis-cli $CLI -p "$1"' sh "$2" 2>&1) || true
        test "$said" != OK || return 0
        sleep 1
    done
    fail "$1 does not say which passwords it takes: $(echo "$said" | tail -n 1)"
}

both() {
    tell redis 6379 "$1"
    tell sentinel 26379 "$1"
}

admit() {
    for name in redis-replica sentinel; do
        directory=$(volume "$name")
        test -n "$directory" || continue
        # The container's user reads it.
        (umask 022 && echo "$*" | store "$directory/admitted")
    done
    both "$(printf '#%s ' "$@")"
}

alone() {
    for name in redis-replica sentinel; do
        directory=$(volume "$name")
        test -z "$directory" || rm -f "$directory/admitted"
    done
    both "resetpass #$1"
}

"$@"
