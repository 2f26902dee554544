"""Networks by name: each module here is one, and holds all that the program has to know of it as NETWORK."""
