"""The disposable staging host: a real Debian with systemd and sshd in a privileged container.

`python -m tests.staging up` makes it, `inventory/staging.py` points pyinfra at it. What is
known about it is kept under `.staging/` in the repository's root.
"""
