# Inspects and changes the stack `infisical` of the Swarm, on the leader.
#
#   cluster-stack.sh state <secrets> <image>…   prints the nodes, the services with their health,
#                                     the networks, secrets, configs, the names of the desired
#                                     secrets, the commands of the images, the record of the last
#                                     good roll-out, and Patroni's answers
#   cluster-stack.sh check <file>     fails if Docker can't parse the file
#   cluster-stack.sh secrets <secrets>   makes those that are missing
#   cluster-stack.sh part             rolls out the services of the file on standard input, and
#                                     prints the hash of each service's specification
#   cluster-stack.sh up               rolls out stack.yaml, and prints the same
#   cluster-stack.sh wait <seconds> [<service>…]   returns once all services, or the named ones,
#                                     run; else prints those that don't, with the reason and their
#                                     last log lines without any secret. Doesn't wait for a task
#                                     that ends again and again
#   cluster-stack.sh data             prints "<members of etcd> <PostgreSQLs>": how many report that
#                                     they are healthy
#   cluster-stack.sh again <seconds> <members> <PostgreSQLs>   waits for that many healthy ones;
#                                     fails, and prints how many there are, if it takes longer
#   cluster-stack.sh retry            makes Swarm retry the tasks that wait for a node, or that a
#                                     node has lost
#   cluster-stack.sh why <service>    prints the errors of its last tasks, with such log lines
#   cluster-stack.sh hashes           prints the hash of each service's specification
#   cluster-stack.sh clean <name>…    removes this project's secrets and configs, and their files,
#                                     except for the named ones
#   cluster-stack.sh patroni          prints the answers of this host's Patroni to /config and to
#                                     /cluster, each as "patroni <JSON>"
#   cluster-stack.sh configure <JSON>   merges it into Patroni's dynamic configuration
#   cluster-stack.sh restart <name>   restarts the PostgreSQL of a member of Patroni, if a parameter
#                                     of it waits for a restart
#
# <secrets> is one word: "<purpose>:<key>,<key>,… <purpose>:<file>". A secret's name ends in the
# hash of its content. A file is a path in /etc/infisical, with a slash in it.
. ./basics.sh
. ./given.sh
. ./members.sh
. ./patroni.sh
. ./services.sh
# Only secrets and configs of this project have such a name and the stack's label.
hashed='_[0-9a-f]{12}$'

# Prints the content of a secret: a file as it is, or variables, which the containers' shells read.
# Characters that a shell would interpret are refused, except in secrets that the user gave: those are
# quoted.
text_of() {
    case ${1#*:} in
    */*)
        test -s "$root/${1#*:}" || fail "$root/${1#*:} is missing"
        cat "$root/${1#*:}"
        return
        ;;
    esac
    for name in $(echo "${1#*:}" | tr , ' '); do
        test -s "$root/keys/$name" || fail "$root/keys/$name is missing"
        case $name in
        given_*)
            printf "%s='%s'\n" "$(variable_of "$name")" "$(sed "s/'/'\\\\''/g" "$root/keys/$name")"
            continue
            ;;
        esac
        key=$(cat "$root/keys/$name")
        case $key in
        *[!A-Za-z0-9+/=._-]*) fail "$root/keys/$name has characters that no key has" ;;
        esac
        echo "$(variable_of "$name")=$key"
    done
}

name_of() {
    text=$(text_of "$1") || return 1
    echo "${1%%:*}_$(echo "$text" | sha256sum | cut -c 1-12)"
}

state() {
    asked=$1
    shift
    command -v docker >/dev/null || exit 0
    docker version >/dev/null 2>&1 || exit 0
    echo engine
    for secret in $asked; do
        if name=$(name_of "$secret" 2>/dev/null); then echo "desired ${secret%%:*} $name"; fi
    done
    for image; do
        docker image inspect --format "start $image {{ json .Config.Entrypoint }} {{
            json .Config.Cmd }}" "$image" 2>/dev/null || true
    done
    test ! -s "$root/stack.json" || echo "record $(tr -d '\n' <"$root/stack.json")"
    manages || exit 0
    echo manager
    nodes
    await_starting
    list_health
    hashes
    services | xargs --no-run-if-empty docker service inspect --format 'tls {{ .Spec.Name }} {{
        with index .Spec.Labels "infisical.tls" }}{{ . }}{{ else }}0{{ end }}'
    docker secret ls --filter "label=$namespace" --format 'secret {{ .Name }}'
    docker config ls --filter "label=$namespace" --format 'config {{ .Name }}'
    docker network ls --quiet --filter "label=$namespace" |
        xargs --no-run-if-empty docker network inspect --format 'network {{ .Name }} {"internal": {{
            .Internal }}, "options": {{ json .Options }}, "ipam": {{ json .IPAM.Config }}}'
    patroni
}

# Waits for tasks that were just started, by their node's boot or by Docker, so that they have time
# to become healthy before they count as a difference. The limit is longer than the longest interval
# of a health check in stack_file.py. Tasks that end twice meanwhile are not waited for: they would
# start and end forever.
await_starting() {
    limit=$(($(date +%s) + 45)) ended_before=$(ended)
    while starting=$(tasks | sed -nE \
        's/^([^ ]+) [^ ]+ (New|Allocated|Assigned|Accepted|Preparing|Ready|Starting) .*/\1/p') &&
        test -n "$starting" && test "$(date +%s)" -lt "$limit"; do
        looping=$(ended | grep -vxF "$ended_before" | cut -d ' ' -f 2 | sort | uniq -d)
        test -n "$(echo "$starting" | grep -vxF "$looping")" || break
        sleep 0.5
    done
}

check() {
    ! docker stack config --help >/dev/null 2>&1 || {
        cd "$root"
        docker stack config --compose-file "$1" >/dev/null
    }
}

secrets() {
    for secret in $1; do
        name=$(name_of "$secret")
        docker secret inspect "$name" >/dev/null 2>&1 ||
            text_of "$secret" | docker secret create --label "$namespace" "$name" - >/dev/null
    done
}

deploy() {
    said=$(docker stack deploy --resolve-image never "$@" "$stack" 2>&1) || {
        echo "$said" | tail -n 3 >&2
        exit 1
    }
}

part() {
    cd "$root"
    cat >stack.part.yaml
    (deploy --compose-file stack.part.yaml) && status=0 || status=1
    rm -f stack.part.yaml
    hashes
    exit $status
}

up() {
    cd "$root"
    deploy --prune --compose-file stack.yaml
    hashes
}

wait() {
    limit=$(($(date +%s) + $1))
    shift
    known=" $(ended "$@" | cut -d ' ' -f 1 | tr '\n' ' ')" ended='' looping=''
    while :; do
        if found=$(list_unhealthy "$@"); then
            test -n "$found" || exit 0
        fi
        # Swarm has given up such an update; waiting does not continue it.
        echo "$found" | grep -qE ' (rollback_)?paused ' && break
        # A task that ends again and again does not become healthy either.
        count_ended "$@"
        looping=$(echo "$ended" | sort | uniq -c | awk '$1 >= 5 && NF == 2 { print $2 }')
        test -z "$looping" || break
        test "$(date +%s)" -lt "$limit" || break
        sleep 1
    done
    test -n "$found" || {
        echo "the Swarm has no majority: start Docker on most of its managers (\`systemctl start docker\`)"
        exit 0
    }
    echo "$found" | while read -r _ name running desired update _; do
        echo "$name: $running of $desired run, update: $update$(
            test -z "$(echo "$looping" | grep "^$name\.")" || echo "; it stops again and again")"
        why "$name"
    done
}

# Prints "<task> <service>.<slot>" for each task that ended by itself, of the named services or of
# all.
ended() {
    docker stack ps "$stack" --no-trunc --filter desired-state=shutdown \
        --format '{{ .ID }} {{ .Name }} {{ .CurrentState }}' 2>/dev/null |
        awk -v only=" $* " '$3 != "Failed" && $3 != "Rejected" { next } {
            name = $2
            sub(/[.][^.]*$/, "", name)
            if (only ~ /^ *$/ || index(only, " " name " ")) print $1, $2 }'
}

# Adds the slots of tasks that are not in $known yet to $ended. Infisical ends when it starts
# without a database, so its ends count only while two of etcd and two of PostgreSQL are healthy.
count_ended() {
    new=$(ended "$@" | while read -r task slot; do
        case $known in *" $task "*) ;; *) echo "$task $slot" ;; esac
    done)
    test -n "$new" || return 0
    known="$known$(echo "$new" | cut -d ' ' -f 1 | tr '\n' ' ')"
    case $new in
    *" infisical_infisical."*) as_many 2 2 2>/dev/null || new=$(echo "$new" | grep -v ' infisical_infisical\.' || true) ;;
    esac
    ended="$ended
$(echo "$new" | cut -d ' ' -f 2)"
}

again() {
    limit=$(($(date +%s) + $1))
    until short=$(as_many "$2" "$3" 2>&1); do
        test "$(date +%s)" -lt "$limit" || fail "$short: see \`infisical-iac docs runbooks\`"
        sleep 1
    done
}

# Swarm retries a task that no node can run until its service is updated, as each roll-out does.
# From then on the task would wait even after its node is back. A task that was accepted minutes ago
# waits too: its node lost the report on it, as on a full disk. Scaling down and up again makes
# Swarm retry, and ends with the same specification. A service on all nodes can't be scaled.
retry() {
    lost=$(tasks | sed -nE 's/^([^ ]+)\.[^. ]+ [^ ]+ (Assigned|Accepted) .*(minute|hour|day|week|month)s? ago$/\1/p')
    list_health | while read -r _ name running desired _ waiting; do
        test "$waiting" -gt 0 || echo "$lost" | grep -qxF "$name" || continue
        docker service scale --detach "$name=$running" >/dev/null 2>&1 </dev/null || {
            docker service update --force --detach "$name" >/dev/null </dev/null
            continue
        }
        for attempt in $(seq 60); do
            tasks | grep -qE "^$name\.[^. ]+ ( Pending|[^ ]+ (Assigned|Accepted)) " || break
            sleep 0.5
        done
        docker service scale --detach "$name=$desired" >/dev/null </dev/null
    done
}

clean() {
    kept=" $* "
    for kind in secret config; do
        docker $kind ls --filter "label=$namespace" --format '{{ .Name }}' | grep -E "$hashed" |
            while read -r name; do
                case $kept in
                *" $name "*) ;;
                # Docker keeps those that a service still uses.
                *) docker $kind rm "$name" >/dev/null 2>&1 || true ;;
                esac
            done
    done
    for file in "$root"/stack/*; do
        case $kept in *" ${file##*/} "*) ;; *) rm -f "$file" ;; esac
    done
}

"$@"
