# Shared by the scripts that change data, each in a directory of its own.
. ./basics.sh

# Takes the lock of the directory $1 for the rest of the script. A step that was started over a lost
# connection may still be running.
lock_directory() {
    here=$1
    mkdir -p "$here"
    exec 9>>"$here/lock"
    flock --wait 600 9 || fail "another run is using $here on this host: wait for its end"
}

# Prevents backups for the rest of the script: a running one would lose its database, and a new one
# would save half a state. A drill holds the same lock while it reads a repository.
without_backups() {
    test -d /var/lib/infisical-backup || return 0
    exec 8>>/var/lib/infisical-backup/lock
    flock --wait 600 8 || fail "a backup, or a drill that reads one, has been at work for 10 minutes: \
wait for its end, or end it with \`systemctl stop infisical-backup infisical-drill\`"
}

# Stops Infisical, if Compose runs it, so that nobody writes any more.
stop_infisical() {
    found=$(docker ps --quiet --filter "label=$project" \
        --filter label=com.docker.compose.service=infisical)
    test -z "$found" || docker stop $found >/dev/null
}

# Restores the deploy's record of the resources that it manages, if the snapshot has one.
remember() {
    memory=$here/fetched/workspace.json
    test ! -e "$memory" || store "$root/workspace.json" <"$memory"
}
