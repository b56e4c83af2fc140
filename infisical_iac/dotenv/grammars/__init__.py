"""The grammars: each module has those of one program, and is found by being here."""
