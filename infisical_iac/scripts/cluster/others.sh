# What a node knows of its cluster, for whoever wants to take another node away.
#
# Prints a line for each node, `node <host name> <number or -> <state> <reachability or ->`, one with
# how many databases there are to be, `databases <number>`, and one with what Patroni says,
# `patroni <JSON>`, if a member of it runs here. Prints nothing where Docker is not in a Swarm that
# it manages.
set -eu
. ./nodes.sh
manages || exit 0
number='{{with index .Spec.Labels "infisical.node"}}{{.}}{{else}}-{{end}}'
vote='{{with .ManagerStatus}}{{.Reachability}}{{else}}-{{end}}'
inspect_nodes "node {{.Description.Hostname}} $number {{.Status.State}} $vote"
echo "databases $(docker service ls --quiet --filter name=infisical_postgres- | wc -l)"
id=$(docker ps --quiet --filter 'name=^/?infisical_postgres-[123]\.' | head -n 1)
test -z "$id" || {
    printf 'patroni '
    docker exec "$id" sh -c 'curl --noproxy "*" --silent --max-time 5 "${REST:-http}://127.0.0.1:8008/cluster"'
    echo
}
