"""Packs: many results in one file, written once, found in bulk, read in few requests, merged when they are many."""
