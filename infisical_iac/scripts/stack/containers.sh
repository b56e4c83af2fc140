# This host's containers of a service, whether Compose runs the stack or a Swarm does.
#
#   containers <service>   the ids of those there are, the running first, then the newest
#   container <service>    the first of these; nothing where there is none
#
# `postgres` is Compose's postgres, or a cluster node's own of postgres-1, postgres-2, postgres-3.
# Where both are, while data move from one to the other, TOPOLOGY says which: single or swarm.
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
