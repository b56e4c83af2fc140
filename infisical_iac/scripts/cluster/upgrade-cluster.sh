# Changes the version on a cluster. Each step can be killed and undone:
#
#   upgrade-cluster.sh begin <release> <image>   begins a change to the image; the release keeps the
#                                       running version; phase begun
#   upgrade-cluster.sh pause            stops Infisical, so that nobody writes; phase paused
#   upgrade-cluster.sh take <release>   selects this release's dump for `load`; prints its manifest
#   upgrade-cluster.sh load             loads that dump into a database of its own; prints
#                                       "<table> <rows>"
#   upgrade-cluster.sh swap             replaces the database by the loaded one, and moves the old
#                                       one aside; phase swapped
#   upgrade-cluster.sh roll             notes that the new version may run on the data in place from
#                                       now on; phase swapped
#   upgrade-cluster.sh exchanged        prints "yes" if other data may have taken their place
#   upgrade-cluster.sh back             moves the old data back, if they were moved; phase backing,
#                                       then back; prints data that were given up, as databases.sh
#   upgrade-cluster.sh keep             keeps the release's dump though the old data are back, since
#                                       the dump has secrets that they lack
#   upgrade-cluster.sh revert           replaces the data in place, which the old version can't use
#                                       any more, by those of the release; the former are given up
#   upgrade-cluster.sh end              removes the old data of a proven change, and prints which
#                                       data given up earlier were removed and which are kept;
#                                       removes the dump after a rollback
. ./databases.sh
. ./changing.sh

aside_name() { echo "$old" | tr TZ tz; }

# Notes the first transaction of the change. If the change loads no other data, `revert` may undo
# it, and counts the writes to the data in place since that transaction.
began() {
    begin "$@"
    echo "$next_transaction" | within="timeout 60" sql "$main" | store "$here/begun"
}

pause() {
    current
    enter paused
    without_replicas
}

swap() {
    current
    : | store "$here/exchanged"
    enter swapping
    without_replicas
    exchange "$(aside_name)"
    empty_redis
    remember
    enter swapped
}

roll() {
    current
    enter swapped
}

exchanged() { test ! -e "$here/exchanged" || echo yes; }

back() {
    current
    was=$phase
    case $phase in
    begun | paused) ;;
    proven) fail "the change of version is proven and can't be undone: change the version again" ;;
    *)
        keep_logs "$of_release/failed.log" || true
        if [ "$phase" != backing ] && [ "$phase" != back ] && [ -e "$here/exchanged" ]; then
            # The database refuses replicas on a node that does not stop them.
            (without_replicas) || true
            count_writes "$(stat --format %Y "$here/state")"
        fi
        enter backing
        take_back "$(aside_name)" "$stamp"
        ;;
    esac
    test ! -e "$of_release/workspace.json" ||
        store "$root/workspace.json" <"$of_release/workspace.json"
    echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) $target" | store "$of_release/failed" || true
    enter back
    case $was in begun | paused) ;; *) given_up "$stamp" ;; esac
}

keep() {
    current
    echo "$target" | store "$of_release/kept"
}

revert() {
    current
    find_database
    without_replicas
    # Writes since the beginning of the change are only in these data.
    loaded=begun
    count_writes "$(date --date "$(echo "$stamp" |
        sed 's/\(....\)\(..\)\(..\)T\(..\)\(..\)/\1-\2-\3T\4:\5:/')" +%s)"
    exchange "$(free_name "$stamp")" "$(noted)"
    empty_redis
    given_up "$stamp"
}

end() {
    current
    find_database
    case $phase in
    swapped | proven)
        enter proven
        drop "$(aside_name)"
        forget_given_up
        ;;
    back) test -e "$of_release/kept" || rm -rf "$of_release/snapshot" "$of_release/database.dump" ;;
    *) fail "the change of version is in phase $phase, and can't end yet" ;;
    esac
    drop "$new"
    rm -rf "$here/fetched" "$here/exchanged" "$of_release/listed" "$of_release/tags"
    forget_notes
    discard "$here/state"
}

lock_directory /var/lib/infisical-upgrade
case $1 in
# Checked before anything begins or pauses.
begin)
    find_database
    check_standby
    shift
    began "$@"
    ;;
*) "$@" ;;
esac
