# Finds this host's containers of a service, of Compose or of a Swarm.
#
#   containers <service>   prints their ids, the running ones first, then the newest
#   container <service>    prints the first of these; nothing if there is none
#
# `postgres` is Compose's service postgres, or on a cluster the node's own: postgres-1, postgres-2
# or postgres-3. During a migration there are both, and TOPOLOGY selects one: single or swarm.
containers() {
    docker ps --all --no-trunc --format '{{ .ID }} {{
        .Label "com.docker.compose.project" }}/{{ .Label "com.docker.compose.service" }} {{
        .Label "com.docker.swarm.service.name" }}/ {{ .Status }}' |
        awk -v of="$1" -v topology="${TOPOLOGY-}" '
            !(topology != "swarm" && $2 == "infisical/" of ||
                topology != "single" && $3 ~ "^infisical_" of "(-[0-9]+)?/$") { next }
            $4 == "Up" { print $1; next }
            { stopped = stopped $1 "\n" }
            END { printf "%s", stopped }'
}

container() { containers "$1" | head -n 1; }
