# Inspects and repairs the containers of the Swarm's tasks on this node, which no manager sees.
#
#   node-tasks.sh inspect   prints "task <service> <id> <status>" and "in <id> <network>" for each
#                        container that should run, or can't be removed. The status of a replica of
#                        Infisical is `unready` if it has lost its database or Redis while another
#                        replica has both
#   node-tasks.sh attached   prints "service <name>" and "attached <name> <network>" of the stack's
#                        services, as a manager knows them; nothing on a worker
#   node-tasks.sh free <id>…   resumes those that are paused, and removes the others, which Swarm
#                        then re-creates
set -u
. ./readiness.sh

inspect() {
    {
        docker ps --no-trunc --quiet --filter "$1"
        docker ps --all --no-trunc --quiet --filter "$1" --filter status=dead --filter status=removing
    } 2>/dev/null | sort -u | xargs --no-run-if-empty docker inspect --format '{{ $id := .Id }}task {{
        index .Config.Labels "com.docker.swarm.service.name" }} {{ $id }} {{ .State.Status }} {{
        .State.Pid }}{{
        range $name, $_ := .NetworkSettings.Networks }}{{ println }}in {{ $id }} {{ $name }}{{ end }}' |
        while read -r what service id status pid; do
            case $what:$service:$status in
            # On a full disk Docker may not store a container's end, and lists it until a restart.
            task:*:exited) continue ;;
            task:infisical_infisical:running) ! lost "$id" "$pid" || status=unready ;;
            esac
            echo "$what $service $id $status" | sed 's/ *$//'
        done
}

# Succeeds if a restart may repair a replica: through HAProxy, another one answers as ready.
lost() {
    unready "$2" && timeout 20 docker exec "$1" curl --noproxy '*' --silent --fail --output /dev/null \
        --max-time 10 http://haproxy:8080/api/status 2>/dev/null </dev/null
}

attached() {
    named=$(docker network ls --no-trunc --format '{{ .ID }} {{ .Name }}')
    docker service ls --quiet --filter "$1" 2>/dev/null |
        xargs --no-run-if-empty docker service inspect --format '{{ $name := .Spec.Name }}service {{
        $name }}{{ range .Spec.TaskTemplate.Networks }}{{ println }}attached {{ $name }} {{
        .Target }}{{ end }}' | named=$named awk '
        BEGIN { for (n = split(ENVIRON["named"], rows, "\n"); n; n--) { split(rows[n], row, " "); of[row[1]] = row[2] } }
        $3 in of { $3 = of[$3] } { print }'
}

free() {
    for id; do
        if [ "$(docker inspect --format '{{ .State.Status }}' "$id")" = paused ]; then
            docker unpause "$id" >/dev/null
        else
            docker stop "$id" >/dev/null 2>&1 || docker rm --force "$id" >/dev/null
        fi
    done
}

case $1 in
inspect | attached) "$1" label=com.docker.stack.namespace=infisical ;;
free) "$@" ;;
esac
