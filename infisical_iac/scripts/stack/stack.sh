# The Compose project `infisical`, as far as the deploy has to ask and to do on the host.
#
#   stack.sh state <image>…        the hashes of the Compose file on standard input, whether the
#                                  engine answers, the containers, what they are connected to, their
#                                  limits, Docker's networks, the images present
#   stack.sh connections           "compose " and a line of compose.yaml each; what the containers
#                                  are connected to, their limits, and Docker's networks
#   stack.sh check <file>          fails if Compose can't read the file
#   stack.sh up [-<service>…] [+<network>…] [<service>…]   brings the containers to what compose.yaml
#                                  says, but for those with a hyphen; those of the other services are
#                                  made anew, and so are the networks
#   stack.sh wait <seconds> [<service>…]   returns once every container is healthy, but for those of
#                                  the services; else prints which is not, and its last log lines
#                                  without any secret
set -u
root=/etc/infisical
. ./compose.sh
. ./secrecy.sh

ours() { compose --project-name infisical --project-directory "$root" "$@"; }

containers() {
    docker ps --all --quiet --filter label=com.docker.compose.project=infisical
}

state() {
    command -v docker >/dev/null || exit 0
    # Compose 1.29 can't hash what it reads from its standard input.
    wanted=$(mktemp)
    cat >"$wanted"
    ours --file "$wanted" config --hash='*' 2>/dev/null | sed 's/^/hash /'
    awk '{ print "compose " $0 }' "$wanted"
    rm -f "$wanted"
    ids=$(containers 2>/dev/null) || exit 0
    echo engine
    # A container that has just been started, with the host or with Docker, has a while to get
    # well before it counts as a difference: longer than its health check's longest interval, which
    # compose_file.py sets.
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

# "connected <service> <network> <its id> <aliases>" of each container, with what else it is called, and
# "limits <service> <restarted> <memory> <processors> <processes>"; and "network <name> <id> <internal>
# <project>" of each that there is. Of one that was stopped, what it was.
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
    awk '{ print "compose " $0 }' "$root/compose.yaml" 2>/dev/null || true
    connected
}

# "image <image>" of each that is there; most often all are, and one question is enough.
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
    # Compose leaves a network as it is, or refuses one that somebody else has made.
    test -z "$networks" || docker network rm $networks >/dev/null
    said=$(ours --file "$root/compose.yaml" up --detach --remove-orphans $(but_for $left) 2>&1)
    status=$?
    test $status = 0 || echo "$said" | tail -n 3 >&2
    exit $status
}

# The services but for the named ones; nothing, which means all of them, where none is named.
but_for() {
    test $# = 0 || ours --file "$root/compose.yaml" config --services |
        grep -vxF "$(printf '%s\n' "$@")"
}

# Lets a paused container go on. Its checks have failed meanwhile, and Compose starts nothing that
# depends on an unhealthy one: the next check is waited for, which compose_file.py sets the interval of.
resume() {
    docker unpause "$1" >/dev/null
    for attempt in $(seq 60); do
        test "$(docker inspect --format '{{
            if .State.Health }}{{ .State.Health.Status }}{{ end }}' "$1")" = unhealthy || return 0
        sleep 1
    done
}

# Lets Compose start what it can't: it starts no paused container, none that is half made or half
# removed, and does not count anew how often one was started. Those of the services $@ go too; what
# is $left is left.
startable() {
    anew=" $* "
    containers | xargs --no-run-if-empty docker inspect --format '{{ .Id }} {{
        index .Config.Labels "com.docker.compose.service" }} {{ .State.Status }} {{
        .RestartCount }} {{ if .State.Health }}{{ .State.Health.Status }}{{ end }}' |
        while read -r id service status restarts health; do
            case " $left " in *" $service "*) continue ;; esac
            test "$status" != paused || resume "$id"
            case $anew:$status in
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

# "<service> <status> <health> <restarts>" of each container, and of each of $services without one.
conditions() {
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
        unwell=$(conditions | awk -v left="$left" '$1 != "" && !index(left, " " $1 " ")' |
            grep -v ' running healthy ' || true)
        test -n "$unwell" || exit 0
        # A container that stops again and again will not get well by waiting.
        echo "$unwell" | grep -qE ' ([5-9]|[0-9]{2,})$' && break
        test "$(date +%s)" -lt "$limit" || break
        sleep 0.5
    done
    echo "$unwell" | while read -r service status health restarts; do
        echo "$service is $status, health $health, restarted $restarts times"
        containers | xargs --no-run-if-empty docker inspect --format '{{
            index .Config.Labels "com.docker.compose.service" }} {{ .Id }}' |
            sed -n "s/^$service //p" | xargs --no-run-if-empty docker logs --tail 12 2>&1 |
            without_secrets | cut -c 1-300 | sed 's/^/  /'
    done
}

"$@"
