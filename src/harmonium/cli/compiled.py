"""Compiled code is kept between calls, so that only the first of its kind waits for the
compiler.
"""

import hashlib
import os
import platform
import shutil
from pathlib import Path

FOLDER_VARIABLE = "JAX_COMPILATION_CACHE_DIR"
SHORTEST_VARIABLE = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
LARGEST = 2**30


def keep_compiled_code() -> None:
    """Tell JAX, before it is imported, where to keep what it compiles; what the user says goes
    before.

    The folder is `harmonium` in the user's cache, one part for every kind of processor, since code
    of one may not run on another; JAX makes it with the first program that it keeps. Beyond 1 GiB a
    part starts anew. Where nothing can be written, code is compiled at every call.
    """
    if FOLDER_VARIABLE in os.environ:
        return
    folder = cache_folder() / processor()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        return
    if there == folder and sum(entry.stat().st_size for entry in os.scandir(folder)) > LARGEST:
        shutil.rmtree(folder, ignore_errors=True)
    os.environ[FOLDER_VARIABLE] = str(folder)
    os.environ.setdefault(SHORTEST_VARIABLE, "0.1")


def cache_folder() -> Path:
    """Where programs may keep what they can make again (XDG base directories)."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "harmonium"


def processor() -> str:
    """A name for the instructions that the processor knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        known = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        known = platform.processor()
    digest = hashlib.sha256(f"{platform.machine()} {known}".encode()).hexdigest()[:12]
    return f"{platform.machine() or 'unknown'}-{digest}"
