"""Manage a project of Infisical from one file: environments, access, credentials and people.

A `client` has the deployer's token unless its description says otherwise.
"""
