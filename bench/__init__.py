"""`make bench`: how quick the deploy is, against Ansible and against a plain shell script."""
