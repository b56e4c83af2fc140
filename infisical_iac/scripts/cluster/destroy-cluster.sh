# Takes a cluster's stack away; what a single host has too is destroy.sh's.
#
#   destroy-cluster.sh look    prints what there is of it on this node, nothing if there is nothing
#   destroy-cluster.sh primary prints "primary" where this node's database is it
#   destroy-cluster.sh backup <directory>   the database, and the files of /etc/infisical, into a new
#                              directory that only root can read; on the primary's node
#   destroy-cluster.sh remove  the services, secrets, configs and networks, and prints `removed`; on a
#                              manager that works, else nothing
#   destroy-cluster.sh gone    waits for this node's containers to end, and removes the stack's files
#   destroy-cluster.sh volumes once the host has left the Swarm: removes the volumes; all data are gone
#                              then
. ./basics.sh
. ./containers.sh
. ./nodes.sh
. ./saving.sh
stack=label=com.docker.stack.namespace=infisical
unit=infisical-unlock.service

look() {
    test -z "$(ls -A "$root" 2>/dev/null)" || echo "files $root"
    test ! -e /etc/infisical-iac/firewall.nft || echo "files /etc/infisical-iac/firewall.nft"
    command -v docker >/dev/null || return 0
    docker ps --format 'container {{.Names}}' --filter "$stack"
    docker volume ls --format 'volume {{.Name}}' --filter "$stack"
}

# What is sent goes to the database of this node, over its own socket.
database() { docker exec --interactive "$id" "$@"; }

primary() {
    id=$(container postgres)
    test -n "$id" || return 0
    standby=$(database psql --username infisical --dbname infisical --no-align --tuples-only \
        --command 'SELECT pg_is_in_recovery()' </dev/null 2>/dev/null) || return 0
    test "$standby" != f || echo primary
}

backup() {
    id=$(container postgres)
    save "$1"
}

remove() {
    manages || return 0
    docker stack rm infisical >/dev/null
    echo removed
}

gone() {
    for _ in $(seq 120); do
        left=$(docker ps --quiet --filter "$stack")
        test -n "$left" || break
        sleep 1
    done
    test -z "$left" || fail "containers of the stack still run after two minutes: run it again"
    # Those of tasks that ended before; they hold the volumes.
    ended=$(docker ps --all --quiet --filter "$stack")
    test -z "$ended" || docker rm --force $ended >/dev/null
    rm -rf "$root/stack.yaml" "$root/stack.json" "$root/stack"
}

volumes() {
    volumes=$(docker volume ls --quiet --filter "$stack")
    test -z "$volumes" || docker volume rm $volumes >/dev/null
    test ! -e "/etc/systemd/system/$unit" || {
        systemctl disable --quiet "$unit"
        rm -f "/etc/systemd/system/$unit"
        systemctl daemon-reload
    }
}

"$@"
