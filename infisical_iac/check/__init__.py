"""Check that a repository of services keeps its secrets in Infisical, and nowhere else."""
