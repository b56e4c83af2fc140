# Removes the stack.
#
#   destroy.sh inspect              prints the existing parts of the stack; nothing if none
#   destroy.sh backup <directory>   saves the database and the files of /etc/infisical in a new
#                                   directory that only root can read
#   destroy.sh stack                removes containers and networks; data and keys stay
#   destroy.sh everything           removes the data, keys, credentials and firewall as well
. ./basics.sh
. ./database.sh
. ./forwarding.sh
. ./saving.sh
firewall=/etc/infisical-iac/firewall.nft
project=label=com.docker.compose.project=infisical

inspect() {
    # On a data volume the directory is a mount point, which stays.
    test -z "$(ls -A "$root" 2>/dev/null)" || echo "files $root"
    test ! -e "$firewall" || echo "files $firewall"
    command -v docker >/dev/null || return 0
    docker ps --all --format 'container {{.Names}}' --filter "$project"
    docker volume ls --format 'volume {{.Name}}' --filter "$project"
}

database() { in_database "$@"; }

backup() {
    find_database
    save "$1"
}

stack() {
    # The next deploy enables the timers again; until then there is nothing to back up.
    systemctl disable --quiet --now infisical-backup.timer infisical-drill.timer 2>/dev/null || true
    systemctl disable --quiet --now infisical-monitor.timer 2>/dev/null || true
    without_exporters
    systemctl stop infisical-backup.service infisical-drill.service 2>/dev/null || true
    close_port infisical
    containers=$(docker ps --all --quiet --filter "$project")
    test -z "$containers" || docker stop --time 20 $containers >/dev/null
    remove_containers "$project"
    networks=$(docker network ls --quiet --filter "$project")
    test -z "$networks" || docker network rm $networks >/dev/null
    rm -f "$root/compose.yaml"
}

# The units of packages are this project's if it has written the socket next to them.
without_exporters() {
    sockets="infisical-metrics-infisical.socket infisical-metrics-caddy.socket"
    test -e "/etc/systemd/system/${sockets%% *}" || return 0
    systemctl disable --quiet --now $sockets prometheus-node-exporter.service \
        prometheus-postgres-exporter.service prometheus-redis-exporter.service 2>/dev/null || true
}

# Removes only this project's table. Runs last, since the table protects the data until then.
without_firewall() {
    test -e "$firewall" || return 0
    units=/etc/systemd/system
    # Docker requires the firewall's unit, and would be stopped with it.
    rm -f $units/docker.service.d/infisical-firewall.conf
    systemctl daemon-reload
    systemctl disable --quiet --now infisical-firewall.service
    nft delete table inet infisical 2>/dev/null || true
    rm -f "$firewall" /etc/infisical-iac/firewall-fallback.nft /usr/local/lib/infisical-iac/firewall.sh \
        $units/infisical-firewall.service $units/infisical-firewall-fallback.service \
        $units/infisical-firewall-failed.service
    systemctl daemon-reload
}

everything() {
    stack
    # A killed restore, change of version, migration or drill has left a copy of the data.
    for name in infisical infisical-restore infisical-upgrade infisical-scale infisical-drill; do
        close_port "$name"
        of=label=com.docker.compose.project=$name
        remove_containers "$of"
        for kind in network volume; do
            found=$(docker $kind ls --quiet --filter "$of")
            test -z "$found" || docker $kind rm $found >/dev/null
        done
    done
    jail=/etc/fail2ban/jail.d/infisical-iac.conf
    if test -e "$jail"; then
        rm -f "$jail" /etc/fail2ban/filter.d/infisical-login.conf \
            /etc/fail2ban/filter.d/infisical-calls.conf \
            /etc/fail2ban/action.d/infisical-nftables.conf \
            /etc/fail2ban/action.d/infisical_networks.py
        systemctl try-restart fail2ban.service 2>/dev/null || true
    fi
    systemctl disable --quiet --now infisical-logs.service 2>/dev/null || true
    # The records of the repositories are worthless without their password.
    for place in "$root" /var/lib/infisical-backup /var/lib/infisical-drill \
        /var/lib/infisical-restore /var/lib/infisical-upgrade /var/lib/infisical-rotation \
        /var/lib/infisical-scale /var/lib/infisical-share /var/lib/infisical-monitor \
        /var/lib/infisical-logs; do
        test ! -d "$place" || find "$place" -mindepth 1 -delete
        rmdir "$place" 2>/dev/null || true
    done
    without_firewall
}

"$@"
