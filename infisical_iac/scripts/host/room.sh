# Room on a disk.

free_kib() { df -Pk "$1" | awk 'NR == 2 { print $4 }'; }

# What the dump that was fetched may take beside the data once it is loaded, in KiB.
to_load() { echo "$(($(stat --format %s "$here/fetched/database.dump") / 1024 * 3 + 262144))"; }

# Whether more than $1 KiB are free where $2 is; $takes and $has tell of both.
has_room() {
    free=$(free_kib "$2")
    takes="may take $(($1 / 1024)) MB"
    has="has $((free / 1024)) MB free: make room"
    test "$free" -gt "$1"
}
