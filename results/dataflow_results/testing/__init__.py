"""For whoever writes a store, a serializer or a test: the tests that every store must pass, files that count and that fail."""
