"""A guard that keeps records, in a process of its own that decides as fast as it can.

Run as a program with the folder for records and the policy's kind of sync. It says on standard
output when it has decided another hundred: how many that is, and at what monotonic time.
"""

from __future__ import annotations

import sys
import time

from recording import HELSE, recording_guard

if __name__ == "__main__":
    folder, fsync = sys.argv[1:]
    guard = recording_guard({"sink": "file", "folder": folder, "fsync": fsync, "max_file_size": 1})
    request = HELSE.request(HELSE.token(), url="/journal/7")
    decided = 0
    while True:
        for _ in range(100):
            assert guard.check_blocking(request).admitted
        decided += 100
        sys.stdout.write(f"{decided} {time.monotonic()}\n")
        sys.stdout.flush()
        # As much as a busy API decides, so that the machine is left to others as well.
        time.sleep(0.01)
