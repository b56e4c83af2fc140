# The containers of the Swarm's tasks on this node, which no manager of the Swarm sees.
#
#   node-tasks.sh look   "task <service> <id> <status>" and "in <id> <network>" of each that should
#                        run, or can't be taken away
#   node-tasks.sh free <id>…   lets those go on that are paused, and takes the others away, which
#                        Swarm then makes anew
set -u

look() {
    {
        docker ps --no-trunc --quiet --filter "$1"
        docker ps --all --no-trunc --quiet --filter "$1" --filter status=dead --filter status=removing
    } 2>/dev/null | sort -u | xargs --no-run-if-empty docker inspect --format '{{ $id := .Id }}task {{
        index .Config.Labels "com.docker.swarm.service.name" }} {{ $id }} {{ .State.Status }}{{
        range $name, $_ := .NetworkSettings.Networks }}{{ println }}in {{ $id }} {{ $name }}{{ end }}'
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
look) look label=com.docker.stack.namespace=infisical ;;
free) "$@" ;;
esac
