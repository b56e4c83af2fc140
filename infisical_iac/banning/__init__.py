"""Bans: addresses that fail to log in too often are kept out for a while, by fail2ban."""
