"""Running: the machine that decides, the workers that run batches, the clusters they run on."""
