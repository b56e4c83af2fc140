# Handles a firewall whose rules can't be loaded; run by systemd's units:
#
#   firewall.sh fallback <file>   loads rules that allow only SSH, unless some rules are loaded
#   firewall.sh failed            reports to the webhook what the fallback reported to the journal
set -eu
state=/run/infisical-firewall
table="inet infisical"

record() {
    echo "<$1>The firewall: $2" >&2
    mkdir -p "$state"
    printf '{"failure": "%s"}\n' "$2" >"$state/last.json"
}

fallback() {
    then="Docker is not started: run \`infisical-iac apply\`"
    if ! command -v nft >/dev/null; then
        record 2 "there is no program nft, so nothing is filtered, and $then"
        exit 1
    fi
    if nft list table $table >/dev/null 2>&1; then
        record 3 "its rules can't be loaded, and those that were loaded before stay: \
run \`infisical-iac apply\`"
        exit 0
    fi
    if ! nft -f "$1"; then
        record 2 "neither its rules nor those that allow only SSH can be loaded, so nothing is \
filtered, and $then"
        exit 1
    fi
    record 3 "its rules can't be loaded, so only SSH is allowed, and $then"
}

failed() {
    here=$(dirname "$0")
    . "$here/reporting.sh"
    alarm "The start of the firewall"
}

"$@"
