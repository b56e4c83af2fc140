# A change of version on a cluster, in steps of which each can be killed and undone:
#
#   upgrade-cluster.sh begin <release> <image>   what runs has been made a release; <image> is what it
#                                       is to be changed to; phase begun
#   upgrade-cluster.sh pause            stops Infisical, so that nobody writes; phase paused
#   upgrade-cluster.sh take <release>   the dump that `load` reads is this release's; prints its
#                                       manifest
#   upgrade-cluster.sh load             that dump, into a database of its own; prints "<table> <rows>"
#   upgrade-cluster.sh swap             it takes the place of the one that is there, which moves
#                                       aside; phase swapped
#   upgrade-cluster.sh roll             from here on the new version may run on the data that are
#                                       there; phase swapped
#   upgrade-cluster.sh exchanged        prints "yes" where other data may have taken their place
#   upgrade-cluster.sh back             the old data are in their place, as far as they were moved;
#                                       phase backing, then back; prints what databases.sh calls
#                                       given up
#   upgrade-cluster.sh keep             the dump of the release stays though the old data are back, for
#                                       secrets are gone that are in it
#   upgrade-cluster.sh revert           the old version can't use the data that are there any more:
#                                       those of the release take their place, which are given up
#   upgrade-cluster.sh end              drops the old data if the new ones have been proven, and prints
#                                       what goes and what stays of what was given up before; drops
#                                       the dump if the old ones are back
. ./databases.sh
. ./changing.sh

aside_name() { echo "$old" | tr TZ tz; }

# Where nothing is loaded into the place of the data, they may be given up as of here.
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
    proven) fail "what was changed is proven: there is no way back but to change it again" ;;
    *)
        keep_logs "$of_release/failed.log" || true
        if [ "$phase" != backing ] && [ "$phase" != back ] && [ -e "$here/exchanged" ]; then
            # What runs on a node that does not stop it is kept out by the database.
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
    # All that was written since the change began is in them alone.
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
    *) fail "the change of version is $phase, and has no end yet" ;;
    esac
    drop "$new"
    rm -rf "$here/fetched" "$here/exchanged" "$of_release/listed" "$of_release/tags"
    forget_notes
    discard "$here/state"
}

alone /var/lib/infisical-upgrade
case $1 in
# Before anything is begun, or paused.
begin)
    find_database
    check_standby
    shift
    began "$@"
    ;;
*) "$@" ;;
esac
