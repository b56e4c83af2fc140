"""The recovery kit: what a new host needs to read the backups, in one file that can be printed.

The file is text: a few lines on what it is and how it is opened, then what `age --armor` writes.
Inside is JSON, compressed by gzip, so that it fits on a page:

    kit                2, the version of this format; 1 had no signature
    at, by, host       when it was made, in UTC, by whom, and of which host
    site_url           where people and services reach Infisical
    versions           `infisical`, `postgres`, `redis`: the images' references; `infisical_id`: the
                       image that runs; `migrations`: how many the database has seen; `revision`:
                       the commit of this project
    backup_targets     as in the settings
    workspace          the SHA-256 of the workspace file that the host was deployed with
    recipients         whom it is encrypted for
    files              the text of each file, by its path under /etc/infisical: the keys, the
                       administrator's and the deployer's login, the services' credentials, what
                       S3 targets and rest-servers ask for, and the SSH key for SFTP;
                       scripts/forms.sh has all paths there can be, with the form of each text
    signed_by          the public key of the deployment, Ed25519, in base64
    signature          its signature of all of the above, as JSON with sorted names and no blanks

A kit is believed if the key that signed it is the deployment's: see trust.py. Nothing in it tells
that, for whoever knows a recipient's public key can make a kit.

On the host stays `/etc/infisical/recovery-kit.json`: when the last kit was made, for whom, and a
fingerprint of each file in it, made with the encryption key, which tells nothing of the file. By
it `status` knows when the kit is no longer what the host is.
"""
