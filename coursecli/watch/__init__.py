"""Watching a workspace: which files were saved, what to check again, and a thread that checks. No screen, no keys."""
