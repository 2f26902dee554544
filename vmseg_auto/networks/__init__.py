"""Networks, their weights' names elsewhere, and what is taken over from another network."""
