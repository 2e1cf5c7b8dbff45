"""What training makes smaller: cross-entropy (lesson 06), and the losses of lessons 11, 12 and 13."""
