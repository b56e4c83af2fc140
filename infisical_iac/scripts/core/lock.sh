# Holds the host's lock for as long as standard input stays open: lock.sh <file> <seconds> [break]
#
# The first line of the input names the holder. Prints "held", or "busy" and the holder's name if
# the lock is not free within the seconds. With `break`, ends the holder first, if it is a run. The
# host's maintenance, which may be installing packages, is never ended.
set -u
umask 077
exec 9>>"$1"
IFS= read -r holder
# Succeeds if process $2 is a run that holds the lock $1. The number may belong to
# another process. The host's maintenance has the file open too, but not in its command line.
is_run() {
    tr '\0' '\n' 2>/dev/null <"/proc/$2/cmdline" | grep -qxF "$1" &&
        find "/proc/$2/fd" -lname "$1" 2>/dev/null | grep -q .
}

if [ "${3:-}" = break ] && ! flock --nonblock 9; then
    pid=$(sed -n '2s/^pid \([0-9][0-9]*\)$/\1/p' "$1")
    test -z "$pid" || ! is_run "$1" "$pid" || kill "$pid"
fi
if flock --wait "$2" 9; then
    printf '%s\npid %s\n' "$holder" $$ >"$1"
    echo held
    cat >/dev/null 9>&-
else
    echo "busy $(head -n 1 "$1")"
fi
