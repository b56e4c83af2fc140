# Prints a line of JSON for each account: its names, whether it has a password or another login
# already, and its second factor, which is empty without one.
#
# The API shows a second factor only to its own account. If "isMfaEnabled" is set, a login requires
# the factor in "selectedMfaMethod". An app or a passkey that is not registered counts as none:
# anybody who knows the password could then register one.
set -eu
. ./database.sh
find_database
within="timeout 60" sql <<'SQL'
\set passkeys '(SELECT NULL::uuid AS "userId")'
SELECT to_regclass('public.webauthn_credentials') IS NOT NULL AS are_known \gset
\if :are_known
\set passkeys webauthn_credentials
\endif
SELECT json_build_object(
    'names', json_build_array(lower(email), lower(username)),
    'accepted', coalesce("isAccepted", false),
    'factor', CASE
        WHEN "isMfaEnabled" IS NOT TRUE THEN ''
        WHEN "selectedMfaMethod" = 'totp' AND NOT EXISTS (
            SELECT FROM totp_configs WHERE "userId" = users.id AND "isVerified") THEN ''
        WHEN "selectedMfaMethod" = 'webauthn' AND NOT EXISTS (
            SELECT FROM :passkeys AS passkeys WHERE "userId" = users.id) THEN ''
        ELSE coalesce("selectedMfaMethod", 'email')
    END)
FROM users WHERE "isGhost" IS NOT TRUE ORDER BY username;
SQL
