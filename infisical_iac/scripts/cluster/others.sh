# Prints what a node knows of its cluster, for a command that wants to remove another node.
#
#   node <host name> <number or -> <state> <reachability or ->   a line for each node
#   databases <number>                                           how many databases are desired
#   patroni <JSON>                                               Patroni's answer, if it runs here
#
# Prints nothing if Docker is not a manager of a Swarm.
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
