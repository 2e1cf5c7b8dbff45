"""What a learner has done: the database, the evidence behind a pass, and the rules that unlock the next lesson."""
