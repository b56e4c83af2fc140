"""The inside of Infisical, from one file: project, environments, access, credentials, people.

A `client` bears the token of the deployer where nothing else is said of it.
"""
