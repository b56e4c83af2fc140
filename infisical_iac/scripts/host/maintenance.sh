# Runs the maintenance window for systemd's infisical-maintenance.service:
#
#   maintenance.sh run [reboot]   upgrades Docker's packages, then, with `reboot`, reboots the host
#                                 if an update asked for it; waits up to two hours for work that it
#                                 must not interrupt
#   maintenance.sh turn <number>  on a host of a cluster, before `run`: waits half an hour for each
#                                 host before this one, then until all nodes are there, each service
#                                 has all its tasks, and etcd and PostgreSQL are complete
#   maintenance.sh failed         reports a failure to the journal and the webhook
set -eu
here=$(dirname "$0")
state=/var/lib/infisical-maintenance
work=$state/work
metrics=infisical_maintenance
project=label=com.docker.compose.project=infisical
. "$here/reporting.sh"
. "$here/together.sh"

# Takes the locks of infisical-iac's runs and of backups, so that neither begins. The first lock has
# no process number, since nobody may end the maintenance. A drill also holds the second lock while
# it reads a repository.
hold() {
    exec 8>>/run/infisical-iac.lock 9>>/var/lib/infisical-backup/lock
    reason="a run of infisical-iac has been at work for 2 hours"
    flock --wait 7200 8 || return
    echo "by the host's maintenance since $(date)" >/run/infisical-iac.lock
    reason="a backup has been at work for 2 hours"
    flock --wait 7200 9 || return
    for attempts in $(seq 240); do
        under_way || return 0
        sleep 30
    done
    return 1
}

under_way() {
    for each in restore upgrade rotation scale; do
        reason="an unfinished $each has to end first: run \`infisical-iac apply\`"
        test ! -e "/var/lib/infisical-$each/state" || return 0
    done
    reason="a drill has been at work for 2 hours"
    case $(systemctl show --property=ActiveState --value infisical-drill.service) in
    *activating) return 0 ;;
    esac
    return 1
}

# Packages that the operator holds back are not upgraded.
packages() {
    dpkg-query --show --showformat '${db:Status-Abbrev} ${Package}\n' \
        'docker*' containerd containerd.io runc 2>/dev/null | sed -n 's/^ii  *//p'
}

is_healthy() {
    docker info >/dev/null 2>&1 || return 1
    whole nodes services data || return 1
    for container in $(docker ps --all --quiet --filter "$project"); do
        test "$(docker inspect --format '{{ .State.Health.Status }}' "$container")" = healthy ||
            return 1
    done
}

turn() {
    mkdir -p "$work"
    : >"$state/running"
    sleep $(($1 * 1800))
    for attempts in $(seq 120); do
        if whole nodes services data; then return 0; fi
        sleep 30
    done
    reason="another node of the cluster is unreachable, a service lacks tasks, or etcd or PostgreSQL \
lacks members, so this host waits"
    conclude
    exit 1
}

# Has the monitors of the other nodes expect this one to be away for a while, or no longer. Only a
# manager can label a node.
announce() { # announce <option> <label>
    info=$(docker info --format '{{ .Swarm.ControlAvailable }} {{ .Swarm.NodeID }}' 2>/dev/null) || return 0
    case $info in
    "true "?*) docker node update "$1" "$2" "${info#true }" >/dev/null || true ;;
    esac
}

away() { announce --label-add "infisical.maintenance=$(($(date +%s) + 1200))"; }

back() { announce --label-rm infisical.maintenance; }

conclude() {
    printf '{"ended": "%s", "failure": "%s"}\n' "$(utc "$(date +%s)")" "$(echo "$reason" | plain)" |
        store "$state/last.json"
    rm -f "$state/running"
}

upgraded() {
    attempt apt.sh 600 $(packages)
    test -z "$reason" || return
    reason="the containers are not healthy 5 minutes after Docker's upgrade"
    for attempts in $(seq 60); do
        ! is_healthy || return 0
        sleep 5
    done
    return 1
}

run() {
    mkdir -p "$work"
    : >"$state/running"
    ! { hold && away && upgraded; } || reason=
    conclude
    back
    test -z "$reason" || exit 1
    test "${1-}" = reboot && test -e /run/reboot-required || exit 0
    away
    asking=$(cat /run/reboot-required.pkgs 2>/dev/null | xargs)
    echo "The host reboots, as an update of $asking requires"
    systemctl reboot
}

failed() { alarm "The host's maintenance"; }

"$@"
