# Adds Docker's own apt repository: docker-ce.sh <URL of the key> <fingerprint> <sources line>
#
# The downloaded file is installed only if it has exactly one key, with that fingerprint.
set -eu
umask 022
key=$(mktemp)
trap 'rm -f "$key"' EXIT
curl --silent --show-error --fail --location --max-time 30 --output "$key" "$1"
found=$(gpg --batch --show-keys --with-colons "$key" | awk -F: '$1 == "pub" { want = 1 }
    $1 == "fpr" && want { print $10; want = 0 }')
if [ "$found" != "$2" ]; then
    echo "the key at $1 has the fingerprint $found instead of $2" >&2
    exit 1
fi
mkdir -p /etc/apt/keyrings
install -m 644 "$key" /etc/apt/keyrings/docker.asc
printf '%s\n' "$3" >/etc/apt/sources.list.d/docker.list
