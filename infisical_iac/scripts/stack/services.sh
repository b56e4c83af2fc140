# Inspects the services of the stack `infisical`, as a manager of the Swarm sees them.
#
#   hashes               prints "hash <service> <hash>" of each service's specification, to be
#                        compared with those that were rolled out
#   list_health          prints each service's tasks, and the state of its update
#   list_unhealthy [<service>…] prints the same of unhealthy services
#   why <service>        prints the errors of its last tasks, and log lines without any secret
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

# Prints "service <name> <running> <desired> <state of its update> <tasks that have no node>".
#
# Running tasks are counted from the list of tasks: the list of services still counts those of a
# node that is down.
list_health() {
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

# Prints the health of services that lack tasks or are being updated; of the named services, or of
# all. Ignores tasks that only an unreachable node can run, and updates that wait for them. Fails if
# the Swarm does not answer.
list_unhealthy() {
    only=" $* "
    unreachable=$(nodes | grep -vc ' ready active$' || true)
    all=$(list_health)
    test -n "$all" || return 1
    echo "$all" | awk -v unreachable="$unreachable" -v only="$only" '{
        if (only !~ /^ *$/ && !index(only, " " $2 " ")) next
        if ($5 == "updating" && unreachable > 0 && $3 + 0 == 0 && $6 == $4) next
        if ($5 ~ /^(updating|rollback_started|paused|rollback_paused)$/) { print; next }
        if ($3 + 0 < $4 + 0 && !(unreachable > 0 && $3 + $6 == $4)) print }'
}

# Prints the errors of a service's last tasks, and the last log lines of the newest one.
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
