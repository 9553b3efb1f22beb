"""Who is alive: claims on keys, runs under way, and the heartbeat that keeps both."""
