# The interfaces of overlay networks. One that is in use is in its network's own namespace; Docker, as
# it ends or leaves a swarm, now and then leaves one behind on the host itself, and while that is there
# no network of the same number can be made ("error creating vxlan interface: file exists").
forget_interfaces() {
    for path in /sys/class/net/vx-*; do
        case ${path##*/} in
        vx-??????-?????) ip link delete "${path##*/}" || true ;;
        esac
    done
}
