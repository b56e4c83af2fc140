"""Make disposable staging hosts: a real Debian with systemd and sshd in a privileged container.

`python -m tests.staging up` makes a host, and `inventory/staging.py` points pyinfra at it. Its keys
and port are kept under `.staging/` in the repository's root.
"""
