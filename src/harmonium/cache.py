"""Compiled code is kept between processes, so that only the first of its kind waits for the
compiler.
"""

import hashlib
import os
import platform
import shutil
import stat
from pathlib import Path

FOLDER_VARIABLE = "JAX_COMPILATION_CACHE_DIR"
SHORTEST_VARIABLE = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
# A fit has a hundred small programs, which take longer to compile than to read.
SHORTEST = 0.0
LARGEST = 2**30


def enable_cache() -> Path | None:
    """Keep what is compiled from now on for later processes, as the command line does by itself.

    Returns the folder: `harmonium` in the user's cache, one part for every kind of processor, since
    code of one may not run on another; it is one that JAX_COMPILATION_CACHE_DIR names, if that is
    set. None where nothing can be written, and then nothing is kept. Beyond 1 GiB a part starts
    anew. Kept code is run, so that a folder is trusted only where the user owns it and nobody else
    may write to it.
    """
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    named = os.environ.get(FOLDER_VARIABLE)
    folder = Path(named) if named else _private_folder()
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", SHORTEST)
        # What was compiled before has settled that there is no folder.
        compilation_cache.reset_cache()
    return folder


def keep_compiled_code() -> None:
    """The same before JAX is imported; what the user says in the environment goes before."""
    if FOLDER_VARIABLE not in os.environ and (folder := _private_folder()) is not None:
        os.environ[FOLDER_VARIABLE] = str(folder)
        os.environ.setdefault(SHORTEST_VARIABLE, str(SHORTEST))


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


def _private_folder() -> Path | None:
    """The folder for this processor, empty or as this user has filled it; None if it cannot be."""
    folder = cache_folder() / processor()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_own(folder):
            return None
        if _is_open(folder) or _size(folder) > LARGEST:
            shutil.rmtree(folder)
            folder.mkdir(mode=0o700)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def _is_own(folder: Path) -> bool:
    return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()


def _is_open(folder: Path) -> bool:
    """Whether others may write to it, and so may have put in code of theirs."""
    writable = stat.S_IWGRP | stat.S_IWOTH
    return os.name == "posix" and bool(folder.stat().st_mode & writable)


def _size(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in os.scandir(folder))
