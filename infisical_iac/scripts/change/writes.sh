# Counts the writes to the database since a time, for data that are given up. $here has notes on them:
# `loaded`, the first transaction after their load; `started`, when PostgreSQL had last started before
# they were put in place; and `writes`, the result of count_writes.

# Runs the SQL on standard input in the database of the container $1; $within may be a command such as
# `timeout`.
sql_in() {
    ${within-} docker exec --interactive "$1" psql --no-psqlrc --username infisical \
        --dbname infisical --quiet --tuples-only --no-align --set ON_ERROR_STOP=1
}

forget_notes() { rm -f "$here/writes" "$here/loaded" "$here/started" "$here/begun"; }

# Prints the first transaction that may end from now on.
next_transaction='SELECT pg_snapshot_xmin(pg_current_snapshot())::xid'

# Prints queries for psql. Each counts the rows of a table that are newer than the time $1:
#
# - Tables that are written to when somebody only reads are left out, such as logins and their log.
# - Tables whose writes are counted elsewhere are left out: each write of a secret or a folder makes
#   a version, but its removal makes none.
# - In tables in which a login notes its time, only new rows and revoked ones count.
# - Deletions count in tables from which the server itself deletes nothing.
#
# A second number counts the rows that the transaction $2 or a later one wrote, whatever the clocks
# said then.
questions() {
    sed "s/SINCE/$1/g; s/LOADED/${2-}/g" <<'SQL'
SELECT format('SELECT count(*) FILTER (WHERE %s), count(*) FILTER (WHERE %s) FROM %I',
    string_agg(format('%I > ''SINCE''', column_name), ' OR '),
    CASE WHEN 'LOADED' = '' OR table_name
        ~ '^(users|memberships|(identity_)?org_memberships|identity_ua_client_secrets)$'
    THEN 'false' ELSE 'age(xmin) <= age(''LOADED''::xid)' END,
    table_name)
FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
WHERE table_type = 'BASE TABLE' AND table_schema = 'public' AND data_type LIKE 'timestamp%'
    AND column_name IN ('createdAt', 'updatedAt', 'created_at', 'updated_at')
    AND table_name !~ '^(audit_log|auth_token|identity_access_tokens$|infisical_migrations)'
    AND table_name !~ '^(secrets_v2$|secret_folders$|secret_snapshot|folder_commit|folder_.*checkpoint)'
    AND NOT (column_name IN ('updatedAt', 'updated_at')
        AND table_name ~ '^(users|memberships|(identity_)?org_memberships|identity_ua_client_secrets)$')
GROUP BY table_name
\gexec
SELECT format('SELECT count(*) FROM %I WHERE %I AND "updatedAt" > ''SINCE''', table_name, column_name)
FROM information_schema.columns
WHERE table_schema = 'public' AND data_type = 'boolean' AND column_name ~ '^is.*Revoked$'
    AND table_name ~ '^(identity_access_tokens|identity_ua_client_secrets)$'
\gexec
SELECT n_tup_del FROM pg_stat_user_tables
WHERE relname ~ '^(secrets_v2|secret_(folders|imports)|projects|project_environments)$'
    OR relname ~ '^(users|groups|identities|memberships)$';
SQL
}

# Prints the total of the answers. If the clock was set back, each write looks older than the data:
# then the transactions are counted.
total() { awk -F '|' '{ all += $1; newer += $2 } END { print (all ? all : newer) + 0 }'; }
