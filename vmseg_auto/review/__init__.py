"""A page on this machine where a reader looks at masks, corrects them and saves a decision."""
