"""A page on this machine where a reader looks at predicted masks, corrects them and saves a decision."""
