# The nodes of the swarm, as one of its managers sees them while they have a leader.

manages() { docker node ls --quiet >/dev/null 2>&1; }

# A line for each, by a Go template; none where this host does not manage.
inspect_nodes() {
    docker node ls --quiet 2>/dev/null | sort -u |
        xargs --no-run-if-empty docker node inspect --format "$1"
}
