"""The client of Infisical's API: requests, logins and resources."""
