"""Training: the loop, its checkpoints and its log (lesson 08), and what is learnt by it (lessons 08 and 10 to 13)."""
