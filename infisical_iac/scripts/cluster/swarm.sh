# A host's part in the swarm. Nothing secret is printed but by `token` and `key`, whose output
# nobody sees, and none is among arguments.
#
#   swarm.sh begin <address> <pool> <hours>   makes the swarm, with the host its first manager; what
#                                             it keeps of a stack in another one goes, but for
#                                             PostgreSQL's data
#   swarm.sh settle <hours>                   has it locked, and certificates end after so long
#   swarm.sh token worker|manager             prints what a host joins with
#   swarm.sh join <address> <other's> [anew]  joins that of another host; its id and the token on
#                                             standard input, a line each; with `anew`, also where
#                                             it believes that it is in there
#   swarm.sh unlock                           opens the host's part with its key
#   swarm.sh key                              prints the key
#   swarm.sh keep                             keeps the key on standard input, or, if that is empty,
#                                             asks for it
#   swarm.sh id                               prints the swarm's id and the node's
#   swarm.sh rotate                           makes tokens and key anew
#   swarm.sh leave                            takes the host out of the swarm, and forgets it
#   swarm.sh ready <seconds>                  waits until the host's part works
. ./basics.sh
. ./forgetting.sh
. ./overlays.sh
file=$root/keys/swarm_unlock_key

state() { docker info --format '{{ .Swarm.LocalNodeState }}' 2>/dev/null; }

# What is left of another swarm, if the host was in one that this project made, goes before it comes
# into one.
afresh() {
    abandon
    forget_interfaces
    # Until it is known which swarm it is, the host has come into one by this project's doing.
    mkdir -p "$root/keys"
    echo new | store "$root/swarm"
    forget_stack
}

begin() {
    # Managers that don't answer for a moment are no reason to leave them.
    known=
    test ! -e "$root/swarm" || known=$(cat "$root/swarm")
    case $known in
    '' | new) ;;
    *) fail "the managers of the host's swarm don't answer just now: run again" ;;
    esac
    # One that was begun here before, and whose key was not kept, keeps nothing either.
    afresh
    rm -f "$root/stack.yaml" "$root/stack.json"
    docker swarm init --advertise-addr "$1" --default-addr-pool "$2" \
        --default-addr-pool-mask-length 24 --cert-expiry "$3h" --autolock >/dev/null
    keep </dev/null
    docker info --format '{{ .Swarm.Cluster.ID }}' | store "$root/swarm"
}

settle() {
    docker swarm update --autolock=true --cert-expiry "$1h" >/dev/null
    keep </dev/null
    docker info --format '{{ .Swarm.Cluster.ID }}' | store "$root/swarm"
}

token() { docker swarm join-token --quiet "$1"; }

# The command line of Docker takes a token as an argument alone, which all on the host could read.
join() {
    IFS= read -r id
    IFS= read -r token
    case ${3-}$(state) in
    active) ;;
    *)
        afresh
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

# A part that waits for managers which have given it up neither opens nor leaves: its engine then
# forgets it.
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
    fail "the host's part in the swarm is $(state) after $1 s"
}

"$@"
