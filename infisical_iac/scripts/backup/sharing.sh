# Selects the targets of a node of a cluster. There, backup.conf has NODE, the number of this host's
# data or 0 for none, and SHARED, those of TARGETS that all nodes have in common.

# Leaves in TARGETS the node's own, and the shared ones if this node leads the Swarm, or if the Swarm
# has no leader, because two snapshots are better than none. If no target is left, exits with 0.
own() {
    test -n "${NODE-}" || return 0
    test "$NODE" != 0 || {
        echo "This node of the cluster has no data: the nodes with data run backups and drills."
        exit 0
    }
    test "$(docker node inspect --format '{{ .ManagerStatus.Leader }}' self 2>/dev/null)" = false ||
        return 0
    mine=
    for target in $TARGETS; do
        case " $SHARED " in
        *" $target "*) echo "$target is left to the node that leads the Swarm." ;;
        *) mine="${mine:+$mine }$target" ;;
        esac
    done
    TARGETS=$mine
    test -n "$TARGETS" || exit 0
}
