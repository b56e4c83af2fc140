"""Write the files of a first deploy from the answers to its questions."""
