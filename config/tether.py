"""A child that ends when the process that started it ends, even by SIGKILL."""

import ctypes
import os
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG = 1


def die_with(parent_pid: int, *, sig: int = signal.SIGKILL) -> None:
    """From now on `sig` comes to this process as soon as `parent_pid` is gone."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, sig, 0, 0, 0)
        if os.getppid() != parent_pid:  # it was gone before the line above
            os.kill(os.getpid(), sig)
        return
    threading.Thread(target=_watch, args=(parent_pid, sig), daemon=True).start()


def _watch(parent_pid: int, sig: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(0.5)
    os.kill(os.getpid(), sig)
