# Prints the other users of the host's Docker, and changes nothing:
#
#   other-containers.sh    "own-engine" if this project has configured the engine, else "others <name>…": the
#                running containers of others, if there are any; "swarm" if the engine is in a Swarm
set -u
config=/etc/docker/daemon.json
root=$(sed -n 's/.*"data-root": *"\([^"]*\)".*/\1/p' $config 2>/dev/null)
root=${root:-/var/lib/docker}
test ! -e "$root/swarm/docker-state.json" || echo swarm

# No other program writes both of these.
if grep -qs '"no-new-privileges": *true' $config && grep -qs '"userland-proxy": *false' $config
then
    echo own-engine
    exit
fi

# A stopped engine starts the containers with a restart policy later.
stopped() {
    for each in "$root"/containers/*/hostconfig.json; do
        grep -qs '"RestartPolicy":{"Name":"[aou]' "$each" || continue
        sed -n 's/.*"Name":"\/\([^"]*\)".*/\1/p' "${each%/*}/config.v2.json"
    done
}

format='{{ .Names }} {{ .Label "com.docker.compose.project" }}'
names=$(docker ps --format "$format" 2>/dev/null || stopped)
# A task of a Swarm has the name <service>.<number>.<id>.
names=$(echo "$names" | awk '$1 !~ /^infisical[-_]/ && $2 !~ /^infisical/ { print $1 }' |
    sed 's/\.[0-9a-z]*\.[0-9a-z]*$//' | sort -u)
test -z "$names" || echo others $names
