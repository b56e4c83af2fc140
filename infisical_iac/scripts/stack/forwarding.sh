# Forwards a port of the host's loopback to Infisical, since Docker publishes no port of a container
# whose networks are all internal. The units are transient: a reboot ends them.
#
#   forward_port <Compose project>   prints the port
#   close_port <Compose project>     ends the forwarding
forward_port() {
    target=$(docker ps --quiet --filter "label=com.docker.compose.project=$1" \
        --filter label=com.docker.compose.service=infisical |
        xargs --no-run-if-empty docker inspect --format \
            '{{ range .NetworkSettings.Networks }}{{ println .IPAddress }}{{ end }}' | head -n 1)
    for port in $(seq 2020 2029); do
        said=$(systemd-run --quiet --collect --unit "$1-port-$port" \
            --socket-property "ListenStream=127.0.0.1:$port" \
            /usr/lib/systemd/systemd-socket-proxyd "$target:8080" 2>&1) || continue
        echo "$port"
        return
    done
    echo "none of the loopback's ports 2020 to 2029 can be forwarded to Infisical: $(echo "$said" | tail -n 1)" >&2
    return 1
}

close_port() {
    systemctl stop "$1-port-*.socket" "$1-port-*.service" 2>/dev/null || true
}
