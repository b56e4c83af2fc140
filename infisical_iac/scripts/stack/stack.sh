# Inspects and changes the Compose project `infisical`.
#
#   stack.sh state <image>…        prints the hashes of the Compose file on standard input, whether
#                                  the engine answers, the containers with their networks and
#                                  limits, Docker's networks, and the images that are present
#   stack.sh connections           prints each line of the Compose file $FILE after "compose ", the
#                                  containers' networks and limits, and Docker's networks
#   stack.sh check <file>          fails if Compose can't parse the file
#   stack.sh up [-<service>…] [+<network>…] [<service>…]   brings the containers to the state of
#                                  the Compose file $FILE, except for those with a hyphen;
#                                  re-creates the other named services and the networks
#   stack.sh forward               forwards a port of the loopback to an Infisical that publishes
#                                  none, and closes an earlier one; prints the port
#   stack.sh wait <seconds> [<service>…]   waits until every container is healthy, except for those
#                                  of the services; else prints the unhealthy ones and their last
#                                  log lines without any secret
set -u
root=/etc/infisical
. ./compose.sh
. ./forwarding.sh
. ./secrecy.sh

ours() { compose --project-name infisical --project-directory "$root" "$@"; }

containers() {
    docker ps --all --quiet --filter label=com.docker.compose.project=infisical
}

state() {
    command -v docker >/dev/null || exit 0
    # Compose 1.29 prints no hashes of a file on its standard input.
    desired=$(mktemp)
    cat >"$desired"
    ours --file "$desired" config --hash='*' 2>/dev/null | sed 's/^/hash /'
    awk '{ print "compose " $0 }' "$desired"
    rm -f "$desired"
    ids=$(containers 2>/dev/null) || exit 0
    echo engine
    # A container that was just started, by the host's boot or by Docker, has time to become healthy
    # before it counts as a difference: longer than the longest interval of a health check in
    # compose.py.
    for attempt in $(seq 90); do
        found=$(echo "$ids" | xargs --no-run-if-empty docker inspect --format 'container {{
            index .Config.Labels "com.docker.compose.service" }} {{
            index .Config.Labels "com.docker.compose.config-hash" }} {{ .State.Status }} {{
            if .State.Health }}{{ .State.Health.Status }}{{ else }}none{{ end }}')
        echo "$found" | grep -q ' running starting$' || break
        sleep 0.5
        ids=$(containers)
    done
    echo "$found"
    connected
    present "$@"
}

# Prints "network <name> <id> <internal> <project>" for each network, and for each container
# "connected <service> <network> <its id> <aliases>" and "limits <service> <restart policy> <memory>
# <processors> <processes>". A stopped container has those of its last run.
connected() {
    docker network ls --no-trunc --format 'network {{ .Name }} {{ .ID }} {{ .Internal }} {{
        .Label "com.docker.compose.project" }}'
    containers | xargs --no-run-if-empty docker inspect --format '{{
        $service := index .Config.Labels "com.docker.compose.service" }}connections {{ $service }}{{ println }}{{
        range $name, $network := .NetworkSettings.Networks }}connected {{ $service }} {{
            $name }} {{ with $network.NetworkID }}{{ . }}{{ else }}-{{ end }} {{
            join $network.Aliases "," }}{{ println }}{{ end }}{{
        with .HostConfig }}limits {{ $service }} {{ .RestartPolicy.Name }} {{ .Memory }} {{
            .NanoCPUs }} {{ with .PidsLimit }}{{ . }}{{ else }}0{{ end }}{{ end }}'
}

connections() {
    awk '{ print "compose " $0 }' "$FILE" 2>/dev/null || true
    connected
}

# Prints "image <image>" for each present one. Usually all are present, and one request is enough.
present() {
    if docker image inspect "$@" >/dev/null 2>&1; then
        printf 'image %s\n' "$@"
    elif [ $# -gt 1 ]; then
        for image; do present "$image"; done
    fi
    true
}

check() {
    ours --file "$1" config --quiet
}

up() {
    left=''
    networks=''
    for each; do
        case $each in
        -*) left="$left ${each#-}" && shift ;;
        +*) networks="$networks ${each#+}" && shift ;;
        esac
    done
    startable "$@"
    # Compose does not change a network that exists, and refuses one that it did not make.
    test -z "$networks" || docker network rm $networks >/dev/null
    said=$(ours --file "$FILE" up --detach --remove-orphans $(but_for $left) 2>&1)
    status=$?
    test $status = 0 || echo "$said" | tail -n 3 >&2
    exit $status
}

# Prints all services except the named ones; prints nothing if none is named, which means all.
but_for() {
    test $# = 0 || ours --file "$root/compose.yaml" config --services |
        grep -vxF "$(printf '%s\n' "$@")"
}

# Resumes a paused container, and waits for its next health check; compose.py sets the interval. The
# checks failed during the pause, and Compose starts nothing that depends on an unhealthy container.
resume() {
    docker unpause "$1" >/dev/null
    for attempt in $(seq 60); do
        test "$(docker inspect --format '{{
            if .State.Health }}{{ .State.Health.Status }}{{ end }}' "$1")" = unhealthy || return 0
        sleep 1
    done
}

# Removes containers that Compose can't bring up: half-made ones, half-removed ones, and those that
# restart again and again, as Compose does not reset their count of restarts. Resumes paused ones.
# Also removes those of the services $@; leaves those of $left alone.
startable() {
    recreated=" $* "
    containers | xargs --no-run-if-empty docker inspect --format '{{ .Id }} {{
        index .Config.Labels "com.docker.compose.service" }} {{ .State.Status }} {{
        .RestartCount }} {{ if .State.Health }}{{ .State.Health.Status }}{{ end }}' |
        while read -r id service status restarts health; do
            case " $left " in *" $service "*) continue ;; esac
            test "$status" != paused || resume "$id"
            case $recreated:$status in
            *" $service "*) docker stop "$id" >/dev/null 2>&1 || true ;;
            *:created | *:dead | *:removing | *:restarting) ;;
            *)
                test "$restarts" -ge 5 && test "$health" != healthy || continue
                docker stop "$id" >/dev/null 2>&1 || true
                ;;
            esac
            docker rm --force "$id" >/dev/null 2>&1 || true
        done
}

forward() {
    close_port infisical
    forward_port infisical
}

# Prints "<service> <status> <health> <restarts>" for each container, and for each of $services
# without one.
list_health() {
    found=$(containers | xargs --no-run-if-empty docker inspect --format '{{
        index .Config.Labels "com.docker.compose.service" }} {{ .State.Status }} {{
        if .State.Health }}{{ .State.Health.Status }}{{ else }}none{{ end }} {{ .RestartCount }}')
    echo "$found"
    for service in $services; do
        echo "$found" | grep -q "^$service " || echo "$service absent none 0"
    done
}

wait() {
    limit=$(($(date +%s) + $1))
    shift
    left=" $* "
    services=$(ours --file "$root/compose.yaml" config --services)
    while :; do
        unhealthy=$(list_health | awk -v left="$left" '$1 != "" && !index(left, " " $1 " ")' |
            grep -v ' running healthy ' || true)
        test -n "$unhealthy" || exit 0
        # Waiting does not help a container that stops again and again.
        echo "$unhealthy" | grep -qE ' ([5-9]|[0-9]{2,})$' && break
        test "$(date +%s)" -lt "$limit" || break
        sleep 0.5
    done
    echo "$unhealthy" | while read -r service status health restarts; do
        echo "$service is $status, health $health, restarted $restarts times"
        containers | xargs --no-run-if-empty docker inspect --format '{{
            index .Config.Labels "com.docker.compose.service" }} {{ .Id }}' |
            sed -n "s/^$service //p" | xargs --no-run-if-empty docker logs --tail 12 2>&1 |
            without_secrets | cut -c 1-300 | sed 's/^/  /'
    done
}

"$@"
