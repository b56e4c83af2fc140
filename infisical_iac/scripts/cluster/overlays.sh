# Removes leaked interfaces of overlay networks. An interface in use is in its network's own
# namespace. When Docker stops or leaves a swarm, it sometimes leaves one on the host itself, and
# then can't make a network with the same number ("error creating vxlan interface: file exists").
forget_interfaces() {
    for path in /sys/class/net/vx-*; do
        case ${path##*/} in
        vx-??????-?????) ip link delete "${path##*/}" || true ;;
        esac
    done
}
