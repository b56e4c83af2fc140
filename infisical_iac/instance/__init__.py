"""Infisical's own settings: mail, login, and further variables of its environment."""
