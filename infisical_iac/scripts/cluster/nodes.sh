# The nodes of the swarm, as one of its managers sees them while they have a leader.

manages() { docker node ls --quiet >/dev/null 2>&1; }

# A line for each, by a Go template; none where this host does not manage, nor where only some can be
# told of: who is left out would be taken for one that is gone.
inspect_nodes() {
    all=$(docker node ls --quiet 2>/dev/null | sort -u)
    test -n "$all" || return 0
    inspected=$(docker node inspect --format "$1" $all) || return 1
    printf '%s\n' "$inspected"
}
