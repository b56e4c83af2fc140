# Lists the nodes of the swarm, as one of its managers sees them while the swarm has a leader.

manages() { docker node ls --quiet >/dev/null 2>&1; }

# Prints a line for each node, by a Go template; nothing on a host that is not a manager. Fails if
# one of them can't be inspected: a missing line would mean that the node is gone.
inspect_nodes() {
    all=$(docker node ls --quiet 2>/dev/null | sort -u)
    test -n "$all" || return 0
    inspected=$(docker node inspect --format "$1" $all) || return 1
    printf '%s\n' "$inspected"
}
