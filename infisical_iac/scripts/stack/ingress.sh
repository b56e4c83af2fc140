# Prints the programs and containers, other than this project's Caddy, that hold the ports 80 and 443,
# and Docker's networks: ingress.sh holders
#
# The lines are "web<port> <holder>" and "networks <name>…".
set -u
. ./containers.sh
revision=http://127.0.0.1:2019/

# Behind another proxy, Caddy is not in the host's network, so wget in its container calls it.
ask() {
    behind=$(running | xargs --no-run-if-empty docker inspect --format '{{
        if index .NetworkSettings.Networks "host" }}{{ else }}{{ .Id }}{{ end }}' | grep . | head -n 1)
    if test -n "$behind"; then
        docker exec "$behind" wget -q -T 2 -O - "$revision" 2>/dev/null
    else
        curl --noproxy '*' --silent --fail --max-time 2 "$revision" 2>/dev/null
    fi
}

answers() { ask >/dev/null; }

caddy() { container caddy 2>/dev/null; }

running() {
    caddy | xargs --no-run-if-empty docker inspect --format '{{
        if .State.Running }}{{ .Id }}{{ end }}' | grep .
}

holders() {
    listening=$(ss --no-header --listening --tcp --numeric --processes \
        "sport = :80 or sport = :443" 2>/dev/null)
    # This project's Caddy is recognized by its process, or, if Docker is stopped, by its revision.
    ours=
    if [ -n "$listening" ]; then
        ours=$(running | xargs --no-run-if-empty docker inspect --format 'pid={{ .State.Pid }},')
        test -n "$ours" || ours=$(answers && echo '"caddy"')
    fi
    published=$(publishers --filter publish=80/tcp --filter publish=443/tcp)
    for port in 80 443; do
        who=
        test -z "$published" || who=$(publishers --filter "publish=$port/tcp" | head -n 1)
        test -n "$who" || who=$(echo "$listening" | grep -F ":$port " |
            grep -vF "${ours:-nobody of ours}" | sed 's/.*users:(("\([^"]*\)".*/\1/' | head -n 1)
        test -z "$who" || echo "web$port $who"
    done
    echo "networks" $(docker network ls --format '{{ .Name }}' 2>/dev/null)
}

publishers() { docker ps --format 'container {{ .Names }}' "$@" 2>/dev/null; }

"$@"
