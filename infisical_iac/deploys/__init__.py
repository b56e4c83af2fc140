"""The steps of the deploy, one a file."""
