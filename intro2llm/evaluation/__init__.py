"""Evaluation (lesson 09): perplexity, multiple choice, and programs that are run."""
