# The files of /etc/infisical that a recovery kit may have, and their forms: extended regular
# expressions for the path and for the whole text, in which \n is the end of a line. The deploy reads
# the same table, see infisical_iac/backup/kit.py.

# The variables that backup targets log in with: those of the kinds in infisical_iac/backup/target.py.
target_login="AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_DEFAULT_REGION AWS_REGION
RESTIC_REST_USERNAME RESTIC_REST_PASSWORD"

forms() {
    sed "s/TARGET_LOGIN/$(echo $target_login | tr ' ' '|')/" <<'FORMS'
keys/encryption_key [A-Za-z0-9+/=._-]{32}\n
keys/auth_secret [A-Za-z0-9+/=._-]{16,}\n
keys/kit_signing_key [0-9a-f]{64}\n
keys/edge_secret [A-Za-z0-9._-]{16,}\n
keys/cluster_ca_key [A-Za-z0-9+/=]{100,400}\n
keys/swarm_unlock_key SWMKEY-1-[A-Za-z0-9+/=_-]+\n
keys/(postgres|redis|restic|replication|patroni|metrics_postgres|metrics_redis)_password [A-Za-z0-9._-]{16,}\n
keys/given_[a-z0-9_]+ (([^\n\\]|\\[^\n\\'])+\n)+
admin\.env (#[^\n]*\n)*INFISICAL_ADMIN_EMAIL=[^\n]+\n(#[^\n]*\n)*INFISICAL_ADMIN_PASSWORD=[^\n]+\n
deployer\.env (# client secret [A-Za-z0-9-]+\n)?INFISICAL_CLIENT_ID=[A-Za-z0-9-]+\nINFISICAL_CLIENT_SECRET=[A-Za-z0-9._~+/=-]+\n
credentials/[A-Za-z0-9][A-Za-z0-9._-]*\.env # client secret [A-Za-z0-9-]+ sha256 [0-9a-f]{16}\n(# ends [0-9TZ:-]{20}, made [0-9TZ:-]{20}\n)?(# replaces [A-Za-z0-9-]+( [A-Za-z0-9-]+)* until ([0-9TZ:-]{20}|it is delivered)\n)?INFISICAL_CLIENT_ID=[A-Za-z0-9-]+\nINFISICAL_CLIENT_SECRET=[A-Za-z0-9._~+/=-]+\n(INFISICAL_ENVIRONMENT=[a-z0-9-]+\n)?NODE_ENV=[a-z0-9-]+\n
backup/[a-z][a-z0-9-]*\.env (#[^\n]*\n|(export )?(TARGET_LOGIN)=([A-Za-z0-9/+=._~:@%,^-]+|'[^'\n]+'|"[^"$`\\\n]+")\n)+
backup/ssh_key -----BEGIN ([A-Z]+ )?PRIVATE KEY-----\n([A-Za-z0-9+/=]{1,76}\n)+-----END ([A-Z]+ )?PRIVATE KEY-----\n
backup/ssh_key\.pub (ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/=]+( [^\n]*)?\n
FORMS
}

# Prints the form of the text at a path; fails, and prints nothing, if no kit has such a file.
form_of() {
    forms | path=$1 LC_ALL=C awk '
        ENVIRON["path"] ~ "^(" $1 ")$" { sub(/^[^ ]+ /, ""); print; found = 1; exit }
        END { exit !found }'
}

# Succeeds if a kit may have the text on standard input at a path. The final newline may be missing.
has_form() {
    form=$(form_of "$1") || return
    text=$(cat; echo .)
    text=${text%.}
    test -z "$(printf '%s' "$text" | LC_ALL=C tr -d '\t\n\040-\176\200-\377')" || return
    end=$(printf '\037')
    printf '%s\n' "${text%"
"}" | tr '\n' '\037' |
        LC_ALL=C grep -aqxE -e "$(printf '%s' "$form" | sed "s/\\\\n/$end/g")"
}
