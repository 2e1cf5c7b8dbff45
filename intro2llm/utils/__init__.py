"""Tools around the model: its cost in memory and time, and its files on disk."""
