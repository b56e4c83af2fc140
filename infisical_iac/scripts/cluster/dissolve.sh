# The end of a cluster, on each of its hosts; each step can be repeated:
#
#   dissolve.sh services          removes the services; on a manager that works, else nothing
#   dissolve.sh containers        waits for this host's containers of theirs to end
#   dissolve.sh data [<stamp>]    once the host has left: with a stamp, the database's data are kept
#                                 in a volume with it in its name, which is printed; the rest of
#                                 what the cluster kept is worth nothing without it, and goes
#   dissolve.sh names             on the host that has Infisical for itself: lets its containers find
#                                 each other, which go on running
#   dissolve.sh forget            on a host that has no Infisical any more: its timers, and the
#                                 keys and records that it shared with the others
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

# What is left is of tasks that ended long ago, or of a node without managers, which it leaves next.
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
    found=$(docker ps --all --quiet --filter "$of_stack")
    test -z "$found" || docker rm --force $found >/dev/null
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

# A Docker that leaves a swarm forgets the names of all containers, and learns them anew only when it
# starts; with live-restore, nothing ends for that.
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
    # A host that has led made it of the keys.
    rm -f "$root/.env"
    rm -rf /var/lib/infisical-share
}

case $1 in
containers) containers_end ;;
*) "$@" ;;
esac
