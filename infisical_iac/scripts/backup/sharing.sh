# Selects the targets of a node of a cluster. Its backup.conf has NODE, the number of a data node or
# 0 for a node without data, and SHARED, the targets in TARGETS that all nodes share.

# Reduces TARGETS to the node's own ones. Shared ones stay if this node leads the Swarm, or if the
# Swarm has no leader, because two snapshots are better than none. Exits with 0 if no target is
# left.
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
