# What this node keeps of the stack that is worth nothing where the others know nothing of it.
namespace=com.docker.stack.namespace=infisical

remove_containers() { docker ps --all --quiet --filter "$1" | xargs --no-run-if-empty docker rm --force >/dev/null; }

# Removes the named volumes of the stack, with the containers that hold them.
without() {
    for name; do
        for volume in $(docker volume ls --quiet --filter "label=$namespace" --filter "name=^infisical_$name$"); do
            remove_containers "volume=$volume"
            docker volume rm --force "$volume" >/dev/null
        done
    done
}

# Of a stack in a swarm that is no more: its containers, which nothing starts again, and what etcd,
# Redis and the sentinels knew of each other. The data of PostgreSQL stay.
forget_stack() {
    remove_containers "label=$namespace"
    without etcd redis-replica sentinel
}
