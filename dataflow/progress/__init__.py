"""Progress of a run while it goes on: a table in the terminal, plain lines, or JSON lines; and why elements failed."""
