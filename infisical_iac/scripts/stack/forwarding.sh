# Ends the forwarding of a port of the host's loopback to an Infisical: close_port <Compose project>
close_port() {
    systemctl stop "$1-port-*.socket" "$1-port-*.service" 2>/dev/null || true
}
