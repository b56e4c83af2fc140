# Manages the host's membership in the swarm. Only `token` and `key` print secrets, and the caller
# shows no output of theirs. No secret is an argument of a program.
#
#   swarm.sh begin <address> <pool> <hours>   makes the swarm, with the host as its first manager;
#                                             removes what the host keeps of a stack in another
#                                             swarm, except for PostgreSQL's data
#   swarm.sh configure <hours>                turns autolock on, and sets the certificates' lifetime
#   swarm.sh token worker|manager             prints the token to join with
#   swarm.sh join <address> <other's> [again] joins the swarm of another host; standard input has
#                                             the swarm's id and the token, a line each. With
#                                             `again`, joins even if the host believes that it is a
#                                             member
#   swarm.sh unlock                           unlocks the host's node with its key
#   swarm.sh key                              prints the key
#   swarm.sh keep                             keeps the key on standard input; if that is empty,
#                                             asks Docker for it
#   swarm.sh id                               prints the ids of the swarm and of the node
#   swarm.sh rotate                           makes new tokens and a new key
#   swarm.sh leave                            leaves the swarm, and forgets it
#   swarm.sh ready <seconds>                  waits until the host's node is active
. ./basics.sh
. ./forgetting.sh
. ./overlays.sh
file=$root/keys/swarm_unlock_key

state() { docker info --format '{{ .Swarm.LocalNodeState }}' 2>/dev/null; }

# Leaves another swarm, if this project made it, and removes what the host keeps of it.
start_over() {
    abandon
    forget_interfaces
    # Marks the swarm as this project's before its id is known.
    mkdir -p "$root/keys"
    echo new | store "$root/swarm"
    forget_stack
}

begin() {
    # The host must not leave managers that don't answer for a moment.
    known=
    test ! -e "$root/swarm" || known=$(cat "$root/swarm")
    case $known in
    '' | new) ;;
    *) fail "the managers of the host's swarm don't answer just now: run again" ;;
    esac
    # A swarm that was begun here, but whose key was not kept, has no data.
    start_over
    rm -f "$root/stack.yaml" "$root/stack.json"
    docker swarm init --advertise-addr "$1" --default-addr-pool "$2" \
        --default-addr-pool-mask-length 24 --cert-expiry "$3h" --autolock >/dev/null
    keep </dev/null
    docker info --format '{{ .Swarm.Cluster.ID }}' | store "$root/swarm"
}

configure() {
    docker swarm update --autolock=true --cert-expiry "$1h" >/dev/null
    keep </dev/null
    docker info --format '{{ .Swarm.Cluster.ID }}' | store "$root/swarm"
}

token() { docker swarm join-token --quiet "$1"; }

# Docker's command line takes a token only as an argument, which everybody on the host can read. Its
# API takes it on the socket.
join() {
    IFS= read -r id
    IFS= read -r token
    case ${3-}$(state) in
    active) ;;
    *)
        start_over
        body=$(
            printf '{"ListenAddr":"0.0.0.0:2377","AdvertiseAddr":"%s","RemoteAddrs":["%s"],' "$1" "$2"
            printf '"JoinToken":"%s"}' "$token"
        )
        said=$(printf %s "$body" | curl --noproxy '*' --silent --show-error --max-time 120 --data-binary @- \
            --header 'Content-Type: application/json' \
            --unix-socket /var/run/docker.sock http://docker/swarm/join 2>&1) || fail "$said"
        case $said in *message*) fail "$(echo "$said" | sed 's/SWMTKN[A-Za-z0-9-]*/(token)/g')" ;; esac
        ;;
    esac
    ready 60
    echo "$id" | store "$root/swarm"
}

unlock() {
    test "$(state)" != locked || timeout 60 docker swarm unlock <"$file" >/dev/null
}

key() { docker swarm unlock-key --quiet; }

keep() {
    mkdir -p "$root/keys"
    key=$(cat)
    key=${key:-$(docker swarm unlock-key --quiet)}
    test -n "$key" || fail "the swarm has no key"
    echo "$key" | store "$file"
}

id() { docker info --format '{{ if .Swarm.Cluster }}{{ .Swarm.Cluster.ID }}{{ end }} {{ .Swarm.NodeID }}'; }

rotate() {
    docker swarm join-token --rotate --quiet worker >/dev/null
    docker swarm join-token --rotate --quiet manager >/dev/null
    docker swarm unlock-key --rotate --quiet | keep
}

# A node whose managers have removed it can neither unlock nor leave. Then its engine's own state of
# the swarm is removed.
abandon() {
    case $(state) in inactive) return 0 ;; esac
    ! timeout 30 docker swarm leave --force >/dev/null 2>&1 || return 0
    docker=$(docker info --format '{{ .DockerRootDir }}')
    test -d "$docker/swarm" || return 0
    systemctl stop docker.socket docker.service
    rm -rf "$docker/swarm"
    systemctl start docker.socket docker.service
}

leave() {
    systemctl disable --quiet --now infisical-unlock.service 2>/dev/null || true
    abandon
    rm -f "$root/swarm" "$root/serial" "$root/led" "$file"
}

ready() {
    for attempts in $(seq "$1"); do
        test "$(state)" != active || return 0
        sleep 1
    done
    fail "the host's swarm node is $(state) after $1 s"
}

"$@"
