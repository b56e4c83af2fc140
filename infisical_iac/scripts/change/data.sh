# Shared by the scripts that replace the data of PostgreSQL by others.
. ./exclusive.sh
. ./secrecy.sh
. ./writes.sh
. ./given-up.sh
main=infisical_postgres

containers() { docker ps --all --quiet --filter "label=$project"; }

# Each container gets the time to stop that compose.yaml sets.
stop() {
    found=$(containers)
    test -z "$found" || docker stop $found >/dev/null
}

# Succeeds if the volume exists. Fails the script if Docker does not answer, because the volume may
# exist then.
there() {
    found=$(docker volume ls --quiet --filter "name=^$1\$") || fail "Docker does not answer"
    test -n "$found"
}

place() { docker volume inspect --format '{{ .Mountpoint }}' "$1"; }

# Succeeds if the volume has content. Fails the script if the volume can't be read: callers remove a
# volume without content.
holds() {
    there "$1" || return 1
    where=$(place "$1") || fail "Docker does not report where the volume $1 is"
    test -d "$where" || return 1
    held=$(ls -A "$where") || fail "the volume $1 can't be read"
    test -n "$held"
}

# Moves data in one step, so that they are always in one place or the other.
move() {
    moved=$(place "$1") to=$(place "$2")
    mv --no-target-directory "$moved" "$to"
    sync "$(dirname "$moved")" "$(dirname "$to")"
}

# Moves the data aside, into the new volume $1 with the labels that follow.
put_aside() {
    into=$1
    shift
    docker volume create --label "$project" "$@" "$into" >/dev/null
    move "$main" "$into"
}

# Moves the data back from the volume $1, if it has any, and removes that volume. The data in place
# may have received writes since: they are never removed, but given up as the data of the change $2.
take_back() {
    if holds "$1"; then
        give_up "$2"
        move "$1" "$main"
    fi
    ! there "$1" || docker volume rm "$1" >/dev/null
}

# Gives up the data in place: moves them into a volume that is kept, named after the change $1. Its
# labels are the notes of count_writes.
give_up() {
    holds "$main" || return 0
    name=${main}_given_up_$1 number=1
    # A container that starts between two runs of a rollback makes a second one.
    while holds "$name"; do
        number=$((number + 1))
        name=${main}_given_up_$1_$number
    done
    since=unknown writes=unknown images=
    test ! -e "$here/writes" || read -r since writes images <"$here/writes"
    put_aside "$name" --label "infisical-iac.since=$since" \
        --label "infisical-iac.writes=$writes" --label "infisical-iac.images=$images"
}

of_service() {
    docker ps --all --quiet --filter "label=$project" --filter "label=com.docker.compose.service=$1"
}

# Notes "<since> <writes> <images>" in $here/writes: how much was written to the data in place since
# the state was written. Called before the first step of a rollback, once Infisical has stopped.
count_writes() {
    seconds=$(stat --format %Y "$here/state")
    since=$(date --utc --date "@$seconds" +%Y-%m-%dT%H:%M:%SZ)
    images=$(for service in infisical postgres; do
        docker inspect --format '{{ .Config.Image }}' $(of_service $service) 2>/dev/null || true
    done | tr '\n' ' ')
    echo "$since $(writes_since "$since") $images" | store "$here/writes"
}

started() {
    docker inspect --format '{{ .Id }} {{ .State.StartedAt }}' $(of_service postgres) 2>/dev/null || true
}

# Prints the number of writes: 0 if the database has not run since, `unknown` if it does not answer.
writes_since() {
    started=$(started)
    loaded=$(cat "$here/loaded" 2>/dev/null) || loaded=
    if [ -n "$started" ] && [ "$started" = "$(cat "$here/started" 2>/dev/null)" ]; then
        echo 0
    elif counted=$(questions "$1" "$loaded" |
        within="timeout 60" sql_in "$(of_service postgres)" 2>/dev/null) && [ -n "$counted" ]; then
        echo "$counted" | total
    else
        echo unknown
    fi
}

# Redis holds queues and caches, which are worthless for other data.
empty_redis() { ! there infisical_redis || find "$(place infisical_redis)" -mindepth 1 -delete; }

# Writes the last log lines of all containers to the file $1, without any secret.
keep_logs() {
    for container in $(containers); do
        echo "== $(docker inspect --format '{{ .Name }} {{ .Config.Image }} {{ .State.Status }}' "$container")"
        docker logs --tail 200 "$container" 2>&1
    done | without_secrets | store "$1"
}
