# Ends a cluster, on each of its hosts. Each step can be repeated:
#
#   remove-cluster.sh services    removes the services; does nothing unless this node is a manager
#                                 that works
#   remove-cluster.sh containers  waits for this host's containers of the services to end
#   remove-cluster.sh data [<stamp>] removes the cluster's data once the host has left the Swarm; with
#                                 a stamp, PostgreSQL's are kept in a volume with the stamp in its
#                                 name, which is printed
#   remove-cluster.sh names       on the host that keeps Infisical: lets its containers, which go on
#                                 running, find each other by name
#   remove-cluster.sh forget      on a host that has no Infisical any more: removes its timers, and
#                                 the keys and records that it shared with the others
. ./data.sh
. ./nodes.sh
. ./state.sh
stack=infisical
of_stack=label=com.docker.stack.namespace=$stack

services() {
    test "$(docker info --format '{{ .Swarm.ControlAvailable }}')" = true || return 0
    manages || return 0
    docker stack rm "$stack" >/dev/null 2>&1
}

# A node that can't reach its managers leaves the Swarm next, which ends its containers.
containers_end() {
    manages || return 0
    for attempt in $(seq 240); do
        running=$(docker ps --quiet --filter "$of_stack") || fail "Docker does not answer"
        test -n "$running" || return 0
        sleep 0.5
    done
    fail "containers of the cluster still run after two minutes: see \`docker ps\`, and run again"
}

data() {
    remove_containers "$of_stack"
    if [ -n "${1-}" ] && holds "${stack}_patroni"; then
        kept=${stack}_patroni_before_$1
        docker volume create --label "$project" "$kept" >/dev/null
        move "${stack}_patroni" "$kept"
    fi
    for name in etcd patroni redis-replica sentinel tmp; do
        ! there "${stack}_$name" || docker volume rm "${stack}_$name" >/dev/null
    done
    rm -rf "$root/stack.yaml" "$root/stack.json" "$root/stack" /var/lib/infisical-scale/served
    test -z "${1-}" || ! there "${stack}_patroni_before_$1" ||
        echo "volume ${stack}_patroni_before_$1"
}

# When Docker leaves a swarm, it forgets the names of all containers until it is restarted. With
# live-restore, containers go on running meanwhile.
names() {
    sed -i 's/"live-restore": false/"live-restore": true/' /etc/docker/daemon.json
    systemctl reload docker.service
    for attempt in $(seq 30); do
        test "$(docker info --format '{{ .LiveRestoreEnabled }}')" != true || break
        sleep 0.5
    done
    systemctl restart docker.service
}

forget() {
    for name in backup drill maintenance; do
        systemctl disable --quiet --now "infisical-$name.timer" 2>/dev/null || true
    done
    paths | while IFS= read -r path; do rm -f "$root/$path"; done
    rm -rf /var/lib/infisical-share
}

case $1 in
containers) containers_end ;;
*) "$@" ;;
esac
