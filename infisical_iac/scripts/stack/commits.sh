# Prints which folders were written to since <since>, in seconds of the epoch, by whom, as JSON:
# commits.sh <since>
#
# Infisical notes that in its database for each write of secrets and folders. An older release notes
# nothing, and a database that does not answer is no error: then nothing is printed.
set -eu
. ./database.sh

commits() {
    sed "s/SINCE/$1/" <<'SQL'
SELECT $$
WITH RECURSIVE places AS (
    SELECT id, "envId", '' AS path FROM secret_folders WHERE "parentId" IS NULL
    UNION ALL
    SELECT f.id, f."envId", p.path || '/' || f.name
    FROM secret_folders AS f JOIN places AS p ON f."parentId" = p.id
)
SELECT json_build_object('at', extract(epoch FROM c."createdAt"), 'who', c."actorMetadata" ->> 'id',
    'project', e."projectId", 'environment', e.slug, 'folder', CASE p.path WHEN '' THEN '/' ELSE coalesce(p.path, '?') END)
FROM folder_commits AS c JOIN project_environments AS e ON e.id = c."envId"
    LEFT JOIN places AS p ON p.id = c."folderId"
WHERE c."createdAt" > to_timestamp(SINCE) ORDER BY c."createdAt"
$$ WHERE to_regclass('folder_commits') IS NOT NULL
\gexec
SQL
}

find_database 2>/dev/null
commits "$1" | within="timeout 60" sql 2>/dev/null || true
