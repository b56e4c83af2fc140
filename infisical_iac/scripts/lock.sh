# Holds the host's lock for as long as standard input stays open: lock.sh <file> <seconds>
#
# The first line of the input says who holds it. The answer is "held", or, if the lock is not
# to be had within the seconds, "busy" and who holds it.
set -u
umask 077
exec 9>>"$1"
IFS= read -r holder
if flock --wait "$2" 9; then
    echo "$holder" >"$1"
    echo held
    cat >/dev/null 9>&-
else
    echo "busy $(cat "$1")"
fi
