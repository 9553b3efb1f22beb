"""Keys: what is the same work, what a key was made of, and why one missed."""
