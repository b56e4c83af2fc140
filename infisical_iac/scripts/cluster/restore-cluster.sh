# Replaces the database of a cluster by a loaded snapshot, as restore.sh does on a single host. Each
# step can be killed and undone:
#
#   restore-cluster.sh state           prints "<stamp> <phase>" of an unfinished restore
#   restore-cluster.sh begin <stamp>   changes nothing yet; phase begun
#   restore-cluster.sh aside <path>…   moves these files of /etc/infisical aside; phase keys
#   restore-cluster.sh put <path>      writes standard input, in base64, to a file of
#                                      /etc/infisical, if a recovery kit can have such a file
#   restore-cluster.sh load            loads what snapshot.sh fetched into a database of its own;
#                                      prints "<table> <rows>"
#   restore-cluster.sh swap            replaces the database by the loaded one, and moves the old
#                                      one aside; Infisical is stopped then; phase data
#   restore-cluster.sh back            undoes all since `begin`, and leaves Infisical stopped; phase
#                                      backing if the data were swapped, then back; prints the data
#                                      that were given up, as databases.sh does
#   restore-cluster.sh forget          ends a restore that was undone
#   restore-cluster.sh end             ends a proven restore; prints where the old data are, and
#                                      removes those of an earlier restore, and data given up
#                                      earlier that nobody has written to
#
# The directory is that of restore.sh, without `volume`. The old database is renamed to
# infisical_before_<stamp>.
. ./databases.sh
. ./restoring.sh

# Lower case, so that SQL needs no quotes around the name.
aside_name() { echo "${main}_before_$stamp" | tr TZ tz; }

swap() {
    current
    test "$phase" != data || fail "the data were swapped already"
    keep workspace.json
    enter data
    without_replicas
    exchange "$(aside_name)"
    empty_redis
    remember
}

data_back() {
    keep_logs "$here/failed-$stamp.log" || true
    without_replicas
    [ "$phase" = backing ] || count_writes "$(stat --format %Y "$here/state")"
    enter backing
    take_back "$(aside_name)" "$stamp"
}

# Only databases of proven restores are removed: one that another change left under such a name may
# be the only copy.
of_a_restore='replaced by a restore that was proven'
earlier() {
    echo "SELECT datname, shobj_description(oid, 'pg_database') = '$of_a_restore'
        FROM pg_database WHERE datname LIKE '${main}\_before\_%' AND datname <> '$old'" |
        at_server | tr '|' ' ' | while read -r name replaced; do
        if [ "$replaced" = t ]; then
            drop "$name" </dev/null
        else
            echo "given-up $name"
        fi
    done
}

end() {
    current
    find_database
    old=$(aside_name)
    earlier
    ! there "$old" || echo "COMMENT ON DATABASE $old IS '$of_a_restore'" | at_server
    forget_given_up
    forget_notes
    discard "$here/state"
    ! there "$old" || echo "database $old"
    drop_if_empty
}

test "$1" = state || lock_directory "$here"
"$@"
test "$1" != back || test ! -e "$here/writes" || {
    find_database
    given_up "$stamp"
}
