# What the scripts share that let other data of PostgreSQL take the place of those that are there.
. ./basics.sh
main=infisical_postgres

# Runs the rest alone, in the directory $1. What was started over a connection that is gone may be
# at work still.
alone() {
    here=$1
    mkdir -p "$here"
    exec 9>>"$here/lock"
    flock --wait 600 9 || fail "another run is at work on the host in $here: wait for its end"
}

# Keeps backups away for the rest: one that is at work would lose its database, and one that begins
# would save half a state. A drill has their lock while it reads a repository.
without_backups() {
    test -d /var/lib/infisical-backup || return 0
    exec 8>>/var/lib/infisical-backup/lock
    flock --wait 600 8 || fail "a backup, or a drill that reads one, has been at work for 10 minutes: \
wait for its end, or end it with \`systemctl stop infisical-backup infisical-drill\`"
}

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

# What the deploy remembers of its own things is that of the snapshot, if it has any.
remember() {
    memory=$here/fetched/workspace.json
    test ! -e "$memory" || store "$root/workspace.json" <"$memory"
}

# The last lines of all containers, into the file $1, without any secret.
keep_logs() {
    secrets=$(mktemp)
    for key in "$root"/keys/*; do
        cat "$key"
        echo
    done | grep . >"$secrets"
    test ! -s "$secrets" || for container in $(containers); do
        echo "== $(docker inspect --format '{{ .Name }} {{ .Config.Image }} {{ .State.Status }}' "$container")"
        docker logs --tail 200 "$container" 2>&1
    done | grep -vFf "$secrets" | store "$1"
    rm -f "$secrets"
}
