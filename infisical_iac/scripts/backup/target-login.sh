# The variables that backup targets log in with: those of the kinds in infisical_iac/backup/target.py.
target_login="AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_DEFAULT_REGION AWS_REGION
RESTIC_REST_USERNAME RESTIC_REST_PASSWORD"
