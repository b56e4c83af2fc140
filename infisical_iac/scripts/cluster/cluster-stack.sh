# The stack `infisical` of the Swarm, as far as the deploy has to ask and to do on the lead.
#
#   cluster-stack.sh state <secrets> <image>…   nodes, services and how they are, networks, secrets,
#                                     configs, the names that the keys give secrets, how images
#                                     start, the record of the last good roll-out, and Patroni
#   cluster-stack.sh check <file>     fails if Docker can't read the file
#   cluster-stack.sh secrets <secrets>   makes those that are not there yet
#   cluster-stack.sh part             rolls out the services of the file on standard input, and
#                                     prints the hash of each service as it was asked for
#   cluster-stack.sh up               brings the services to what stack.yaml says, and prints the
#                                     same
#   cluster-stack.sh wait <seconds> [<service>…]   returns once all of them run, or the named;
#                                     else prints what does not, with the reason and the last log
#                                     lines without any secret; at once where a task ends again and
#                                     again
#   cluster-stack.sh data             "<members of etcd> <PostgreSQLs>" that are well, as they say
#   cluster-stack.sh again <seconds> <members> <PostgreSQLs>   waits for as many; fails, and prints
#                                     how many there are, if it takes longer
#   cluster-stack.sh anew             has Swarm try again what waits for a node
#   cluster-stack.sh why <service>    what its last tasks ended with, with such lines
#   cluster-stack.sh hashes           the hash of each service's specification
#   cluster-stack.sh clean <name>…    removes our secrets and configs, and their files, but the named ones
#   cluster-stack.sh patroni          what the Patroni here answers to /config and to /cluster, each
#                                     as "patroni <JSON>"
#   cluster-stack.sh configure <JSON>   merges it into Patroni's dynamic configuration
#   cluster-stack.sh restart <name>   restarts the PostgreSQL of a member of Patroni, if it says
#                                     that a parameter waits for that
#
# <secrets> are, in one word, "<purpose>:<key>,<key>,… <purpose>:<file>"; a secret's name ends in the
# hash of what it holds. A file has its path in /etc/infisical, with a slash in it.
. ./basics.sh
. ./members.sh
. ./patroni.sh
. ./services.sh
# No secret and no config of somebody else's has such a name and the stack's label.
hashed='_[0-9a-f]{12}$'

# What a secret holds: variables for the containers' shells to read, which must mean nothing to them,
# or a file as it is.
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
        key=$(cat "$root/keys/$name")
        case $key in
        *[!A-Za-z0-9+/=._-]*) fail "$root/keys/$name has signs that no key has" ;;
        esac
        echo "$(echo "$name" | tr a-z A-Z)=$key"
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
        if name=$(name_of "$secret" 2>/dev/null); then echo "wanted ${secret%%:*} $name"; fi
    done
    for image; do
        docker image inspect --format "start $image {{ json .Config.Entrypoint }} {{
            json .Config.Cmd }}" "$image" 2>/dev/null || true
    done
    test ! -s "$root/stack.json" || echo "record $(tr -d '\n' <"$root/stack.json")"
    manages || exit 0
    echo manager
    nodes
    # A task that has just been started, with a node or by Docker, has a while to get well before
    # it counts as a difference: longer than its health check's longest interval, which stack_file.py
    # sets.
    for attempt in $(seq 90); do
        tasks | grep -qE '^[^ ]+ [^ ]+ (New|Allocated|Assigned|Accepted|Preparing|Ready|Starting) ' ||
            break
        sleep 0.5
    done
    conditions
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
        if found=$(unwell "$@"); then
            test -n "$found" || exit 0
        fi
        # An update that Swarm has given up does not go on by waiting.
        echo "$found" | grep -qE ' (rollback_)?paused ' && break
        # Nor does what stops again and again get well, as on a single host.
        count_ended "$@"
        looping=$(echo "$ended" | sort | uniq -c | awk '$1 >= 5 && NF == 2 { print $2 }')
        test -z "$looping" || break
        test "$(date +%s)" -lt "$limit" || break
        sleep 1
    done
    test -n "$found" || {
        echo "the Swarm does not answer: most of its managers have to be up"
        exit 0
    }
    echo "$found" | while read -r _ name running desired update _; do
        echo "$name: $running of $desired run, update: $update$(
            test -z "$(echo "$looping" | grep "^$name\.")" || echo "; it stops again and again")"
        why "$name"
    done
}

# "<task> <service>.<slot>" of each task that has ended by itself, of the named services or of all.
ended() {
    docker stack ps "$stack" --no-trunc --filter desired-state=shutdown \
        --format '{{ .ID }} {{ .Name }} {{ .CurrentState }}' 2>/dev/null |
        awk -v only=" $* " '$3 != "Failed" && $3 != "Rejected" { next } {
            name = $2
            sub(/[.][^.]*$/, "", name)
            if (only ~ /^ *$/ || index(only, " " name " ")) print $1, $2 }'
}

# Adds the slots of those that are not $known yet to $ended. Infisical ends where it starts without
# a database, for which it can do nothing.
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
        test "$(date +%s)" -lt "$limit" || fail "$short: see docs/operate/cluster/runbooks.md"
        sleep 1
    done
}

# Swarm tries a task that no node takes again and again, but not once its service has been updated,
# as each roll-out does it with all of them: it would go on waiting when its node is back. The
# specification is in the end what it was.
anew() {
    conditions | while read -r _ name running desired _ waiting; do
        test "$waiting" -gt 0 || continue
        docker service scale --detach "$name=$running" >/dev/null </dev/null
        for attempt in $(seq 60); do
            tasks | grep -q "^$name\.[^.]*  Pending " || break
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
                # What a service still uses, Docker keeps.
                *) docker $kind rm "$name" >/dev/null 2>&1 || true ;;
                esac
            done
    done
    for file in "$root"/stack/*; do
        case $kept in *" ${file##*/} "*) ;; *) rm -f "$file" ;; esac
    done
}

"$@"
