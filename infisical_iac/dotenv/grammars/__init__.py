"""The grammars; each module has those of one program, and all modules here are loaded."""
