# What the scripts share that let other data of PostgreSQL take the place of those that are there.
. ./alone.sh
. ./secrecy.sh
. ./writes.sh
. ./given-up.sh
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

# What can't be read is not nothing, for a volume that holds nothing is removed.
holds() {
    there "$1" || return 1
    where=$(place "$1") || fail "Docker does not tell where the volume $1 is"
    test -d "$where" || return 1
    held=$(ls -A "$where") || fail "the volume $1 can't be read"
    test -n "$held"
}

# In one step, so that they are in one place or in the other.
move() {
    moved=$(place "$1") to=$(place "$2")
    mv --no-target-directory "$moved" "$to"
    sync "$(dirname "$moved")" "$(dirname "$to")"
}

# The data move aside, into the volume $1, which gets the labels that follow.
put_aside() {
    into=$1
    shift
    docker volume create --label "$project" "$@" "$into" >/dev/null
    move "$main" "$into"
}

# They come back from $1, if they are there, and it goes. What took their place may have been written
# to, by whoever started a container: it is never removed, but given up, as of the change $2.
take_back() {
    if holds "$1"; then
        give_up "$2"
        move "$1" "$main"
    fi
    ! there "$1" || docker volume rm "$1" >/dev/null
}

# The data move aside that a change is given up with, into a volume that is kept. Its labels are what
# count_writes has noted of them.
give_up() {
    holds "$main" || return 0
    name=${main}_given_up_$1 number=1
    # Whoever starts a container between two runs of a way back makes a second one.
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

# Notes in $here/writes "<since> <writes> <images>": how much was written to the data in place, since
# the state is what it is. It comes before the first step of a way back, once Infisical has stopped.
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

# How much that is, 0 where the database has not run since, `unknown` where it does not say.
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

# Redis holds queues and caches: of another state they are worth nothing.
empty_redis() { ! there infisical_redis || find "$(place infisical_redis)" -mindepth 1 -delete; }

# The last lines of all containers, into the file $1, without any secret.
keep_logs() {
    for container in $(containers); do
        echo "== $(docker inspect --format '{{ .Name }} {{ .Config.Image }} {{ .State.Status }}' "$container")"
        docker logs --tail 200 "$container" 2>&1
    done | without_secrets | store "$1"
}
