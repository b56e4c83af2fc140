"""Tests of the host: Docker, disks, SSH, firewall and bans."""
