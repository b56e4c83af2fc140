# Shared by changes of version on a single host and on a cluster: their state, and their releases.
# $main is the place of the data, and the prefix of the old data's name.
releases=/var/backups/infisical-iac/upgrades

current() {
    read -r release phase target <"$here/state" || fail "no change of version is under way"
    of_release="$releases/$release"
    stamp=${release%%-*}
    old="${main}_before_$stamp"
}

enter() {
    phase=$1
    echo "$release $phase $target" | store "$here/state"
}

begin() {
    test ! -e "$here/state" || fail "another change of version has not ended"
    without_backups
    release=$1 target=$2
    rm -f "$here/exchanged"
    forget_notes
    enter begun
}

take() {
    rm -rf "$here/fetched"
    ln -s "$releases/$1/snapshot" "$here/fetched"
    of_dump() { sed -n "s/.*\"$1\": \"\\{0,1\\}\\([0-9a-f]*\\).*/\\1/p" "$here/fetched/manifest.json" | tail -n 1; }
    test "$(sha256sum <"$here/fetched/database.dump" | cut -d ' ' -f 1)" = "$(of_dump sha256)" ||
        fail "the dump of $1 was altered: its SHA-256 differs from the one in its manifest"
    cat "$here/fetched/manifest.json"
}
