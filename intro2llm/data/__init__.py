"""What the model reads: the built-in story world, and the datasets of lessons 06, 10, 11 and 13."""
