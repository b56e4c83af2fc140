# Makes a change that the host undoes by itself unless a command keeps it.
#
#   trial.sh arm <what> <seconds>   standard input has the commands that undo the change; the host
#                                   runs them after <seconds>, and at its next boot
#   trial.sh keep <what>            keeps the change; fails if it was undone already
#   trial.sh back <what>            undoes it now, if that has not been done
set -eu
umask 077
state=/var/lib/infisical-trial
name=infisical-trial-$2
commands=$state/$2
service=/etc/systemd/system/$name.service
link=/etc/systemd/system/multi-user.target.wants/$name.service

# Prints the unit that undoes the change. Either the unit or `keep` moves the commands away first. The
# unit then runs them; after `keep` they never run.
unit() {
    cat <<END
[Unit]
Description=Bring back what $1 was before a change that was not proven
ConditionPathExists=|$commands
ConditionPathExists=|$commands.back

[Service]
Type=oneshot
ExecStart=-/bin/mv -f $commands $commands.back
ExecStart=/bin/sh -e $commands.back
ExecStart=/bin/rm -f $commands.back $service $link

[Install]
WantedBy=multi-user.target
END
}

arm() {
    test ! -e "$commands" || back "$1"
    mkdir -p "$state"
    cat >"$commands.new"
    unit "$1" >"$service"
    chmod 644 "$service"
    systemctl daemon-reload
    systemctl --quiet enable "$name.service"
    sync "$commands.new" "$service"
    mv -f "$commands.new" "$commands"
    sync "$state" "$(dirname "$service")" "$(dirname "$link")"
    systemd-run --quiet --unit "$name.service" --on-active "$2" --timer-property AccuracySec=1s
}

keep() {
    if ! mv "$commands" "$commands.kept" 2>/dev/null; then
        echo "the host has undone it already" >&2
        exit 1
    fi
    sync "$state"
    forget
}

back() {
    systemctl start "$name.service"
    forget
}

forget() {
    systemctl stop "$name.timer" 2>/dev/null || true
    rm -f "$commands.kept" "$service" "$link"
    systemctl daemon-reload
}

"$@"
