"""Care of a store: listing, verifying, collecting what nobody needs, pins."""
