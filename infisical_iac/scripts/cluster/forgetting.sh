# Removes what this node keeps of the stack and what is worthless without the other nodes.
namespace=com.docker.stack.namespace=infisical

# Removes the named volumes of the stack, with the containers that hold them.
without() {
    for name; do
        for volume in $(docker volume ls --quiet --filter "label=$namespace" --filter "name=^infisical_$name$"); do
            remove_containers "volume=$volume"
            docker volume rm --force "$volume" >/dev/null
        done
    done
}

# Removes the rest of a stack whose swarm is gone: its containers, which nothing starts again, and
# the data of etcd, Redis and the sentinels about each other. PostgreSQL's data stay.
forget_stack() {
    remove_containers "label=$namespace"
    without etcd redis-replica sentinel
}
