"""For whoever writes a store or a test: the tests that every store must pass, files that count and files that fail."""
