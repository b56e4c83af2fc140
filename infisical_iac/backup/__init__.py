"""Backups of the database, made on the host by a timer into repositories of restic.

A snapshot holds these files, at its root:

    manifest.json      its description, as below
    database.dump      `pg_dump --format custom` of the database `infisical`, uncompressed, because
                       restic compresses and deduplicates it
    workspace.json     the deploy's record of the resources that it manages, if there is one
    encryption_key     only with the setting `backup_with_encryption_key`

The manifest, whose counts are of the same transaction as the dump:

    format             1
    at                 when the dump was begun, in UTC, such as `2026-11-25T02:30:11Z`
    host               the host's name
    revision           the version and commit that changed the host last; may be empty
    infisical          `version`, `image` (its reference), `id` (of the image) and `digest` (where
                       it was pulled from, with its digest; empty for one that was loaded); all
                       empty where there is no container
    postgresql         `version` and `image`
    encryption_key     the fingerprint of the key that the database needs: the first 16 hexadecimal
                       digits of the SHA-256 of `infisical-iac encryption key ` and the key
    migrations         how many rows `infisical_migrations` has
    rows               how many rows each table has; empty tables are left out
    dump               `sha256`, `bytes`, and `tables`: the number of tables with data

A snapshot has the tags `infisical-iac` and `version=`, `bytes=`, `secrets=`, `migrations=`, `key=`
(the fingerprint), so that a list needs nothing but the repository's index. Neither the dump nor the
manifest holds a key; the dump's secrets are encrypted with the encryption key.

On the host, where `infisical-backup.service` of systemd runs `agent/backup.py`, and
`infisical-drill.service` runs `agent/drill.py`:

    /etc/infisical/backup/backup.conf         targets, retention; `<target>.conf` has an address
    /etc/infisical/backup/<target>.env        the credentials for S3 or a rest-server
    /etc/infisical/backup/ssh_key             the key for SFTP, made on the host
    /etc/infisical/keys/restic_password       the password of all repositories, made on the host
    /var/lib/infisical-backup/last.json       the result of the last run (record.py reads it)
    /var/lib/infisical-backup/history.jsonl   the results of the last 400 runs, a line each
    /var/lib/infisical-backup/metrics.prom    the same for Prometheus
    /var/lib/infisical-backup/work            the snapshot's files, while a run lasts
    /var/lib/infisical-drill                  compose.yaml of drills, and last.json and metrics.prom

A recovery kit holds all that a new host needs to read the backups, in one file that can be printed.

The file is text: a few lines on what it is and how to open it, then the output of `age --armor`.
Inside is JSON, compressed by gzip, so that it fits on a page:

    kit                2, the version of this format; 1 had no signature
    at, by, host       the time in UTC, the person who made it, and the host
    site_url           where people and services reach Infisical
    versions           `infisical`, `postgres`, `redis`: the images' references; `infisical_id`: the
                       image that runs; `migrations`: how many the database has seen; `revision`:
                       the version and commit of the tool
    backup_targets     as in the settings
    workspace          the SHA-256 of the project file that the host was deployed with
    recipients         the public keys that it is encrypted for
    files              the text of each file, by its path under /etc/infisical: the keys, the
                       administrator's and the deployer's login, the service credentials, the
                       credentials of S3 targets and rest-servers, and the SSH key for SFTP;
                       FORMS of agent/keys.py has all possible paths, with each text's form
    signed_by          the public key of the deployment, Ed25519, in base64
    signature          its signature of all of the above, as JSON with sorted names and no blanks

A kit is trusted if the deployment's key signed it: see kit_keys.py. Its content alone proves
nothing, since anybody with a recipient's public key can make a kit.

The host keeps `/etc/infisical/recovery-kit.json`: the time of the last kit, its recipients, and a
fingerprint of each file in it. The fingerprints are made with the encryption key, so that they
reveal nothing of the files. `status` compares them to find the files that have changed since.
"""
