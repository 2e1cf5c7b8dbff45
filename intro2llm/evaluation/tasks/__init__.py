"""What `eval` can measure, one module for each task. Given: what is computed comes from your lesson 09.

`task.py` says what a task is, `kept.py` keeps what has been measured, so that an evaluation can be interrupted.
"""
