"""The base of every slice: settings, errors, plan and journal, connection and lock."""
