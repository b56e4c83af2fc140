# Sets the passwords that this host's Redis and sentinel of a cluster accept, without a restart.
#
#   redis-passwords.sh hashes            prints the hashes of the current, the next and the old
#                                        password
#   redis-passwords.sh admit <hash>…     accepts the passwords with these hashes, after a restart
#                                        too
#   redis-passwords.sh only <hash>       accepts only the password with this hash
#
# Redis itself keeps only the SHA-256 of a password, which lets nobody log in. The file `admitted`
# in both volumes has the hashes to accept after a restart, see templates/cluster/redis.sh.j2.
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

# A server that does not run reads the file when it starts. One that is just starting is waited for.
set_password() {
    for attempt in $(seq 30); do
        running=$(docker ps --quiet --no-trunc) || fail "Docker does not answer"
        id=$(echo "$running" | grep -xF "$(container "$1")") || return 0
        said=$(echo "ACL SETUSER default $3" | docker exec --interactive "$id" sh -c '
            . /run/secrets/env
            REDISCLI_AUTH=$REDIS_PASSWORD timeout 10 redis-cli $CLI -p "$1"' sh "$2" 2>&1) || true
        test "$said" != OK || return 0
        sleep 1
    done
    fail "$1 does not confirm its passwords: $(echo "$said" | tail -n 1)"
}

both() {
    set_password redis 6379 "$1"
    set_password sentinel 26379 "$1"
}

admit() {
    for name in redis-replica sentinel; do
        directory=$(volume "$name")
        test -n "$directory" || continue
        # The container's user must be able to read it.
        (umask 022 && echo "$*" | store "$directory/admitted")
    done
    both "$(printf '#%s ' "$@")"
}

only() {
    for name in redis-replica sentinel; do
        directory=$(volume "$name")
        test -z "$directory" || rm -f "$directory/admitted"
    done
    both "resetpass #$1"
}

"$@"
