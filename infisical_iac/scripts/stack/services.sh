# The services of the stack `infisical`, as a manager of the Swarm sees them.
#
#   hashes               "hash <service> <hash>" of each; what runs is compared with what was rolled out
#   conditions           how each runs, and how its update is
#   unwell [<service>…]  the conditions of those that don't run as they should
#   why <service>        what its last tasks ended with, with log lines without any secret
. ./nodes.sh
. ./secrecy.sh
stack=infisical
namespace=com.docker.stack.namespace=$stack

services() { docker service ls --quiet --filter "label=$namespace"; }

hashes() {
    services | xargs --no-run-if-empty docker service inspect \
        --format '{{ .Spec.Name }} {{ json .Spec }}' | while IFS=' ' read -r name specification; do
        echo "hash $name $(printf %s "$specification" | sha256sum | cut -c 1-64)"
    done
}

tasks() {
    docker stack ps "$stack" --no-trunc --filter desired-state=running \
        --format '{{ .Name }} {{ .Node }} {{ .CurrentState }}' 2>/dev/null || true
}

nodes() { inspect_nodes 'node {{ .ID }} {{ .Status.State }} {{ .Spec.Availability }}'; }

# "service <name> <running> <desired> <state of its update> <tasks that have no node>"
#
# The list of services has the number that run as well, but goes on counting what ran on a node
# that is down.
conditions() {
    all=$(tasks | sed -E 's/^([^ ]*)\.[^. ]* /\1 /')
    updates=$(services | xargs --no-run-if-empty docker service inspect --format '{{ .Spec.Name }} {{
        with .UpdateStatus }}{{ .State }}{{ else }}none{{ end }}')
    docker service ls --filter "label=$namespace" --format '{{ .Name }} {{ .Replicas }}' |
        while read -r name running rest; do
            update=$(echo "$updates" | sed -n "s/^$name //p")
            echo "service $name $(echo "$all" | grep -cE "^$name [^ ]+ Running ") ${running##*/}" \
                "${update:-none} $(echo "$all" | grep -c "^$name  Pending ")"
        done
}

# The conditions of the services that don't run as they should, or are being changed, of the named
# ones or of all. What has no node to run on while one is away waits for that one, and so does the
# update of what has no task elsewhere. Fails where the Swarm tells nothing.
unwell() {
    only=" $* "
    away=$(nodes | grep -vc ' ready active$' || true)
    all=$(conditions)
    test -n "$all" || return 1
    echo "$all" | awk -v away="$away" -v only="$only" '{
        if (only !~ /^ *$/ && !index(only, " " $2 " ")) next
        if ($5 == "updating" && away > 0 && $3 + 0 == 0 && $6 == $4) next
        if ($5 ~ /^(updating|rollback_started|paused|rollback_paused)$/) { print; next }
        if ($3 + 0 < $4 + 0 && !(away > 0 && $3 + $6 == $4)) print }'
}

# What the last tasks of a service ended with, or wait for, and the last lines of the newest one.
why() {
    tasks=$(docker service ps --no-trunc \
        --format '{{ .ID }} {{ .Node }} {{ .CurrentState }} {{ .Error }}' "$1" 2>/dev/null |
        grep -E '^[^ ]+ [^ ]* (Failed|Rejected|Pending|Preparing|Starting) ' || true)
    task=$(echo "$tasks" | awk '$3 == "Failed" || $3 == "Starting" { print $1; exit }')
    {
        echo "$tasks" | cut -d ' ' -f 2- | head -n 3
        test -z "$task" || timeout 20 docker service logs --raw --tail 12 "$task" 2>&1
    } | without_secrets | cut -c 1-300 | sed 's/^/  /'
}
