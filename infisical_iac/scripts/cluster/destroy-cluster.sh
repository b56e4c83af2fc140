# Removes a cluster's stack; destroy.sh removes what a single host has as well.
#
#   destroy-cluster.sh inspect prints the parts of the stack on this node; nothing if there are none
#   destroy-cluster.sh primary prints "primary" if this node's PostgreSQL is the primary
#   destroy-cluster.sh backup <directory>   saves the database and the files of /etc/infisical in a
#                              new directory that only root can read; on the primary's node
#   destroy-cluster.sh remove  removes the services, secrets, configs and networks, and prints
#                              `removed`; does nothing unless this node is a manager that works
#   destroy-cluster.sh gone    waits for this node's containers to end, and removes the stack's
#                              files
#   destroy-cluster.sh volumes removes the volumes, and with them all data; to be called once the
#                              host has left the Swarm
. ./basics.sh
. ./containers.sh
. ./nodes.sh
. ./saving.sh
stack=label=com.docker.stack.namespace=infisical
unit=infisical-unlock.service

inspect() {
    test -z "$(ls -A "$root" 2>/dev/null)" || echo "files $root"
    test ! -e /etc/infisical-iac/firewall.nft || echo "files /etc/infisical-iac/firewall.nft"
    command -v docker >/dev/null || return 0
    docker ps --format 'container {{.Names}}' --filter "$stack"
    docker volume ls --format 'volume {{.Name}}' --filter "$stack"
}

# Runs a command in the database's container of this node, whose socket needs no password.
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
    # Containers of tasks that ended earlier still hold the volumes.
    remove_containers "$stack"
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
