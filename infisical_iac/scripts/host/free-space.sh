# Checks the free space of a disk.

free_kib() { df -Pk "$1" | awk 'NR == 2 { print $4 }'; }

# Prints the KiB that the fetched dump may take once it is loaded.
to_load() { echo "$(($(stat --format %s "$here/fetched/database.dump") / 1024 * 3 + 262144))"; }

# Succeeds if more than $1 KiB are free on the disk of $2. Sets $takes and $has for a message.
has_free_space() {
    free=$(free_kib "$2")
    takes="may take $(($1 / 1024)) MB"
    has="has $((free / 1024)) MB free: make room"
    test "$free" -gt "$1"
}
