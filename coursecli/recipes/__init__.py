"""Starts the learner's recipes, each in a process of its own, and hears what they say. Showing it is for `render`."""
