"""Recording: what a run tells its history, and how that becomes rows; read by the writer, in its own time."""
