"""A background process for each workspace, in which workers wait for the next check, so that it starts at once."""
