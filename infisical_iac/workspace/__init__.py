"""The inside of Infisical, from one file: project, environments, access, credentials, people."""
