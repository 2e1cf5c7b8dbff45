"""How the parameters move: two optimizers, and the schedule of their learning rate (lesson 07)."""
