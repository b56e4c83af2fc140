# Inspects and changes the ingress on the host.
#
#   ingress.sh holders              prints the programs and containers, other than this project's
#                                   Caddy, that hold the ports 80 and 443, and Docker's networks, as
#                                   "web<port> <holder>" and "networks <name>…"
#   ingress.sh inspect <name> <port> prints the revision that Caddy runs with, "none" if it does not
#                                   answer, "stopped" if it does not run; then the certificate that
#                                   is served for the name at the port of the loopback address
#   ingress.sh take <image>         validates the files of ingress.new with Caddy's image, replaces
#                                   the old ones by them, and has Caddy load them
#   ingress.sh await <name> <port> <seconds>   waits until a certificate is served; else prints
#                                   Caddy's last error
set -u
. ./containers.sh
umask 077
root=/etc/infisical
revision=http://127.0.0.1:2019/

fail() {
    echo "$1" >&2
    exit 1
}

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

inspect() {
    # A Caddy that was just started needs a moment.
    for attempt in $(seq 10); do
        answer=$(ask)
        test -z "$answer" || break
        answer=none
        test -n "$(running)" || { answer=stopped; break; }
        sleep 0.5
    done
    echo "revision $answer"
    certificate "$1" "$2"
}

certificate() {
    timeout 10 openssl s_client -connect "127.0.0.1:$2" -servername "$1" </dev/null 2>/dev/null |
        openssl x509 2>/dev/null
}

take() {
    new=$root/ingress.new here=$root/ingress old=$root/ingress.old
    said=$(docker run --rm --network none --read-only --cap-drop ALL \
        --security-opt no-new-privileges --volume "$new:/etc/caddy:ro" --tmpfs /data \
        --tmpfs /config --tmpfs /run/caddy --tmpfs /var/log/infisical-access \
        "$1" caddy validate --config /etc/caddy/Caddyfile --adapter caddyfile 2>&1) || {
        rm -rf "$new"
        fail "Caddy refuses it ($(echo "$said" | tail -n 1)); the old one goes on serving"
    }
    mkdir -p "$here"
    rm -rf "$old"
    cp -a "$here" "$old"
    move "$new" "$here"
    if ! answers; then
        # With an invalid old file, Caddy restarts again and again.
        caddy | xargs --no-run-if-empty docker restart >/dev/null
    elif ! said=$(docker exec "$(caddy)" caddy reload --config /etc/caddy/Caddyfile \
        --adapter caddyfile --address unix//run/caddy/admin.sock 2>&1); then
        move "$old" "$here"
        fail "Caddy can't use it ($(echo "$said" | tail -n 1)); the old one goes on serving"
    fi
    rm -rf "$old"
}

# Replaces the files of the directory $2 by those of $1.
move() {
    sync "$1"/*
    mv -f "$1"/* "$2/"
    test -e "$2/Caddyfile" || fail "$2/Caddyfile is not there"
    uses=0
    grep -q /etc/caddy/tls "$2/Caddyfile" || uses=$?
    # Only status 1 of grep means that the file does not name the certificate.
    test $uses != 1 || rm -f "$2/tls.crt" "$2/tls.key"
    rm -rf "$1"
}

await() {
    end=$(($(date +%s) + $3))
    until certificate "$1" "$2" | grep -q .; do
        if test "$(date +%s)" -ge "$end"; then
            docker logs --since 10m "$(caddy)" 2>&1 | grep -E 'ERROR|"level":"error"' | tail -n 1 |
                cut -c 1-500
            exit 0
        fi
        sleep 0.5
    done
    echo served
}

"$@"
