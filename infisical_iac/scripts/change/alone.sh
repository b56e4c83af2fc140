# What the scripts share that change data, in a directory of their own.
. ./basics.sh

# Runs the rest alone, in the directory $1. What was started over a connection that is gone may be
# at work still.
alone() {
    here=$1
    mkdir -p "$here"
    exec 9>>"$here/lock"
    flock --wait 600 9 || fail "another run is at work on the host in $here: wait for its end"
}

# Keeps backups away for the rest: one that is at work would lose its database, and one that begins
# would save half a state. A drill has their lock while it reads a repository.
without_backups() {
    test -d /var/lib/infisical-backup || return 0
    exec 8>>/var/lib/infisical-backup/lock
    flock --wait 600 8 || fail "a backup, or a drill that reads one, has been at work for 10 minutes: \
wait for its end, or end it with \`systemctl stop infisical-backup infisical-drill\`"
}

# Nobody writes any more: Infisical stops, where Compose runs it.
stop_infisical() {
    found=$(docker ps --quiet --filter "label=$project" \
        --filter label=com.docker.compose.service=infisical)
    test -z "$found" || docker stop $found >/dev/null
}

# What the deploy remembers of its own things is that of the snapshot, if it has any.
remember() {
    memory=$here/fetched/workspace.json
    test ! -e "$memory" || store "$root/workspace.json" <"$memory"
}
