"""The course runner: courses, lessons, tasks, tests, progress. It knows nothing about language models."""

__version__ = "0.1.0"
