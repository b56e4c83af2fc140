"""`make bench`: measure the deploy against Ansible and against a plain shell script."""
