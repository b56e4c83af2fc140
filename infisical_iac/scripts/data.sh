# What the scripts share that let other data of PostgreSQL take the place of those that are there.
. ./alone.sh
. ./secrecy.sh
main=infisical_postgres

containers() { docker ps --all --quiet --filter "label=$project"; }

# Each gets as long as compose.yaml says.
stop() {
    found=$(containers)
    test -z "$found" || docker stop $found >/dev/null
}

# A Docker that does not answer is no volume that is not there.
there() {
    found=$(docker volume ls --quiet --filter "name=^$1\$") || fail "Docker does not answer"
    test -n "$found"
}

place() { docker volume inspect --format '{{ .Mountpoint }}' "$1"; }
holds() { there "$1" && test -n "$(ls -A "$(place "$1")" 2>/dev/null)"; }

# In one step, so that they are in one place or in the other.
move() { mv --no-target-directory "$(place "$1")" "$(place "$2")"; }

# The data move aside, into the volume $1.
put_aside() {
    docker volume create --label "$project" "$1" >/dev/null
    move "$main" "$1"
}

# They come back from there, if they are there, and it goes.
take_back() {
    if holds "$1"; then
        rm -rf "$(place "$main")"
        move "$1" "$main"
    fi
    ! there "$1" || docker volume rm "$1" >/dev/null
}

# Redis holds queues and caches: of another state they are worth nothing.
empty_redis() { ! there infisical_redis || find "$(place infisical_redis)" -mindepth 1 -delete; }

# The last lines of all containers, into the file $1, without any secret.
keep_logs() {
    for container in $(containers); do
        echo "== $(docker inspect --format '{{ .Name }} {{ .Config.Image }} {{ .State.Status }}' "$container")"
        docker logs --tail 200 "$container" 2>&1
    done | without_secrets | store "$1"
}
