# How much was written to the database since a time, and how that is noted of data that are given up.

# The questions for psql, each of which is answered with a number: of all tables but those that are
# written to by reading, such as logins and the log of it, and those that follow from a write that is
# counted: a secret has a version for each time that it was written, but none for its end, and so has
# a folder. Of tables in which a login notes its time, new rows count alone, and those that were
# revoked. What is deleted counts where the server deletes nothing of itself.
questions() {
    sed "s/SINCE/$1/" <<'SQL'
SELECT format('SELECT count(*) FROM %I WHERE %s', table_name,
    string_agg(format('%I > ''SINCE''', column_name), ' OR '))
FROM information_schema.columns
WHERE table_schema = 'public' AND data_type LIKE 'timestamp%'
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

total() { awk '{ all += $1 } END { print all + 0 }'; }
