"""Starts one container's program as a node would: its volumes at their paths, a root that cannot be written to,
its user, no capability. Reads what to do as JSON from the file that it is given; run as root, in a mount
separate mount namespace (`unshare --mount`).
"""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

# Files of the machine that the program needs: libraries, devices, user names.
SHARED = ["bin", "dev", "lib", "lib32", "lib64", "proc", "sbin", "sys", "usr"]
ETC = ["group", "ld.so.cache", "nsswitch.conf", "passwd"]

PR_SET_NO_NEW_PRIVS = 38


def mount(*arguments):
    """Runs mount(8)."""
    subprocess.run(["mount", *map(str, arguments)], check=True)


def bind(source, target, *, writable):
    """Binds a folder or file of the machine to a path of the new root."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.mkdir(exist_ok=True) if Path(source).is_dir() else target.touch()
    mount("--bind", source, target)
    if not writable:
        mount("-o", "remount,bind,ro", target)


def make_root(root, plan):
    """Makes a root with only the machine's programs."""
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", root)
    for name in SHARED:
        source = Path("/") / name
        if source.is_symlink():
            (root / name).symlink_to(os.readlink(source))
        elif source.exists():
            (root / name).mkdir()
            mount("--rbind", source, root / name)
    for name in ETC:
        if (Path("/etc") / name).exists():
            bind(f"/etc/{name}", root / "etc" / name, writable=False)
    bind(plan["hosts"], root / "etc" / "hosts", writable=False)
    for volume in plan["volumes"]:
        bind(volume["source"], root / volume["path"].lstrip("/"), writable=volume["writable"])
    # The image has these in PATH; here they are in the build folder.
    for folder in plan["programs"]:
        bind(folder, root / folder.lstrip("/"), writable=False)
    mount("-o", "remount,ro", root)


def become(plan):
    """Switches permanently to the pod's user and group."""
    os.setgroups([plan["group"]])
    os.setgid(plan["group"])
    os.setuid(plan["user"])
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def main():
    plan = json.loads(Path(sys.argv[1]).read_text())
    root = Path(plan["root"])
    make_root(root, plan)
    os.chroot(root)
    os.chdir("/")
    become(plan)
    path = ":".join([*plan["programs"][:1], "/usr/local/bin", "/usr/bin", "/bin"])
    variables = {"PATH": path, **plan["variables"]}
    os.execvpe(plan["command"][0], plan["command"], variables)


if __name__ == "__main__":
    main()
