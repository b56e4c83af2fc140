"""The command line `infisical-iac`: arguments in, a call, a table out."""
