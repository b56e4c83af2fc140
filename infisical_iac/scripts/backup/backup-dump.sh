# Makes the files of a snapshot:
#
#   backup-dump.sh <directory>   in this directory
#   backup-dump.sh end           ends the database sessions that a killed run left
#
# Dump and counts are of the same moment: pg_dump uses the snapshot of the transaction that counts.
# infisical_iac/backup/__init__.py describes the content of the files.
. ./basics.sh
. ./database.sh
. ./free-space.sh
. ./variables.sh
into=$1
as=infisical-backup-$(hostname)
# An upgrade makes a snapshot too, maybe before backups are set up.
test ! -e "$root/backup/backup.conf" ||
    take_variables "$root/backup/backup.conf" AUDIT WITH_ENCRYPTION_KEY

check_free_space() {
    size=$(echo "SELECT pg_database_size('infisical')" | sql)
    has_free_space "$((size / 1024 + 65536))" "$into" || fail "the dump $takes and $into $has"
}

# Standard output is the dump. Counts and the marks of completion go to standard error, and are kept
# in memory, since the disk may be full.
dump() {
    said=$(sql 2>&1 >"$into/database.dump" <<'SQL' || true
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT pg_export_snapshot() AS snapshot \gset
\setenv SNAPSHOT :snapshot
\! pg_dump --username infisical --format custom --compress 0 --lock-wait-timeout 120000 --snapshot "$SNAPSHOT" infisical && echo dumped >&2
\o | cat >&2
SELECT format('SELECT ''rows %1$s '' || count(*) FROM %1$I HAVING count(*) > 0', relname)
FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname
\gexec
SELECT 'server ' || split_part(current_setting('server_version'), ' ', 1);
SELECT 'counted';
SQL
    )
    marks=$(echo "$said" | grep -cxE 'dumped|counted' || true)
    test "$marks" = 2 || fail "the database could not be dumped: $(echo "$said" |
        grep -vE '^(rows|server|dumped|counted)' | tail -n 1)"
}

# Listing the dump shows its tables, and reading it to the end shows that it is complete.
check_dump() {
    in_database pg_restore --list <"$into/database.dump" >"$into/listed" &&
        in_database pg_restore --file /dev/null <"$into/database.dump" ||
        fail "the dump of the database can't be read back"
    tables=$(grep -c ' TABLE DATA ' "$into/listed") || fail "the dump holds no table"
}

counted() { echo "$said" | sed -n "s/^$1 //p"; }
of() { docker inspect --format "$1" "$2" 2>/dev/null || true; }

# Sets the reference and the id of Infisical's image. A node of a cluster need not run it.
find_image() {
    if clustered; then
        image=$(docker service inspect --format '{{ .Spec.TaskTemplate.ContainerSpec.Image }}' \
            infisical_infisical 2>/dev/null || true)
        id=$(of '{{.Id}}' "$image")
    else
        infisical=$(container infisical)
        image=$(of '{{.Config.Image}}' "$infisical")
        id=$(of '{{.Image}}' "$infisical")
    fi
}

manifest() {
    find_image
    version=${image##*:}
    test "$image" = "${image%@*}" || version=$(echo "${image%@*}" | sed 's/.*://')
    rows=$(counted rows | sed 's/\(.*\) \(.*\)/"\1": \2/' | paste -s -d , | sed 's/,/, /g')
    fingerprint=$(key_fingerprint)
    bytes=$(stat -c %s "$into/database.dump")
    migrations=$(counted "rows infisical_migrations")
    secrets=$(counted "rows secrets_v2")
    cat >"$into/manifest.json" <<END
{
  "format": 1,
  "at": "$at",
  "host": "$(hostname)",
  "revision": "$(sed -n 's/.*"revision": "\([^"]*\)".*/\1/p' "${AUDIT-}" 2>/dev/null | tail -n 1)",
  "infisical": {
    "version": "$version",
    "image": "$image",
    "id": "$id",
    "digest": "$(of '{{join .RepoDigests " "}}' "$id" | cut -d ' ' -f 1)"
  },
  "postgresql": {"version": "$(counted server)", "image": "$(of '{{.Config.Image}}' "$database")"},
  "encryption_key": "$fingerprint",
  "migrations": ${migrations:-0},
  "rows": {$rows},
  "dump": {
    "sha256": "$(sha256sum "$into/database.dump" | cut -d ' ' -f 1)",
    "bytes": $bytes,
    "tables": $tables
  }
}
END
    echo "infisical-iac,version=$version,bytes=$bytes,secrets=${secrets:-0},migrations=${migrations:-0},key=$fingerprint" \
        >"$into/tags"
}

# The nodes of a cluster share the database, and each ends only its own sessions.
end() {
    ended=$as as=infisical-end
    echo "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = left('$ended', 63)" | sql
}

find_database
if [ "$into" = end ]; then
    end
    exit 0
fi
at=$(date -u +%Y-%m-%dT%H:%M:%SZ)
check_free_space
dump
check_dump
manifest
mkdir "$into/snapshot"
sync "$into/database.dump" "$into/manifest.json"
mv "$into/database.dump" "$into/manifest.json" "$into/snapshot/"
sync "$into/snapshot" "$into"
test ! -e "$root/workspace.json" || cp "$root/workspace.json" "$into/snapshot/"
test "${WITH_ENCRYPTION_KEY-false}" = false || cp "$root/keys/encryption_key" "$into/snapshot/"
