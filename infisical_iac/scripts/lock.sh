# Holds the host's lock for as long as standard input stays open: lock.sh <file> <seconds> [break]
#
# The first line of the input says who holds it. The answer is "held", or, if the lock is not
# to be had within the seconds, "busy" and who holds it. With `break`, its holder is ended first.
set -u
umask 077
exec 9>>"$1"
IFS= read -r holder
if [ "${3:-}" = break ] && ! flock --nonblock 9; then
    kill "$(sed -n '2s/^pid //p' "$1")" 2>/dev/null
fi
if flock --wait "$2" 9; then
    printf '%s\npid %s\n' "$holder" $$ >"$1"
    echo held
    cat >/dev/null 9>&-
else
    echo "busy $(head -n 1 "$1")"
fi
