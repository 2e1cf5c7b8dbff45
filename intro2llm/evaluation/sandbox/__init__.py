"""Run a short program that a model has written, shut in as well as this system allows. Given.

    ran = run_program("print(6 * 7)", timeout=3.0)
    ran.stdout, ran.ended, ran.isolation            # "42\\n", "exited", "strong"

The program gets a bare interpreter (no site-packages), an empty folder, no input and no variables of yours; it has
bounds on time, memory, processes, files and output; and when it is over, nothing that it started still runs.
Isolation is what it is kept from beyond that:

    strong     it is an unprivileged user in namespaces of its own (Linux): no network, none of your files and none of
               your processes are there. Only the interpreter is, read-only.
    limited    Landlock and seccomp (Linux): no network, and of your files it can open only the interpreter's. It can
               still see what runs.
    none       it could do whatever you can do. macOS, and Linux where neither is allowed.

`supervisor.py` is the process between this one and the program, `walls.py` what shuts it in.
"""

from intro2llm.evaluation.sandbox.running import (
    Isolation,
    Ran,
    SandboxError,
    available_isolation,
    run_program,
)

__all__ = ["Isolation", "Ran", "SandboxError", "available_isolation", "run_program"]
