# Appends the line on standard input, a JSON object, to the audit log: audit.sh <file>
#
# Each entry has the SHA-256 of the line before it, which shows if a line was changed or removed
# later.
set -eu
umask 077
mkdir -p "$(dirname "$1")"
exec 9>>"$1"
flock --wait 30 9
IFS= read -r entry
# A host that crashed while it wrote may have left half a line.
test -z "$(tail -c 1 "$1")" || echo >&9
previous=$(tail -n 1 "$1" | sha256sum | cut -d ' ' -f 1)
printf '{"previous": "%s", %s\n' "$previous" "${entry#\{}" >&9
sync "$1"
