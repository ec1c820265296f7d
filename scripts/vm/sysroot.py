"""What programs for another architecture are linked against and need to run: Debian's packages, unpacked into a cache, never
installed. `sysroot.py ARCH` prints where they are.
"""

import fcntl
import platform
import re
import subprocess
import sys

import kernels

# Rust's and GNU's names by Debian's.
TRIPLES = {"arm64": "aarch64-linux-gnu"}
FOLDERS = ["bin", "sbin", "usr/bin", "usr/sbin"]
# To link; what the bench starts in a virtual machine.
PACKAGES = ["libelf-dev", "zlib1g-dev", "busybox-static", "iproute2", "nftables"]
# What they say they need, but neither linking nor these programs do. (The linker would take the C library for this system's.)
LEFT_OUT = re.compile(r"^(debconf|dpkg|perl|gcc-\d|libc-bin|libc6-dev|linux-libc-dev|libzstd-dev|liblzma-dev|libpam|libcrypt|libaudit|libdb|tar|install-info|readline-common)")


class Sysroot:
    """The packages of this system's release, for another architecture (Debian's name)."""

    def __init__(self, arch):
        self.triple = TRIPLES[arch]
        codename = platform.freedesktop_os_release().get("VERSION_CODENAME")
        if not codename:
            raise kernels.Unavailable("this system's release has no code name: see /etc/os-release")
        place = kernels.cache()
        self.root = place / f"sysroot-{codename}-{arch}"
        with open(place / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.root.exists():
                return
            partial = place / f"{self.root.name}.partial"
            subprocess.run(["rm", "-rf", str(partial)], check=True)
            partial.mkdir()
            apt = kernels.Apt(place, arch, [codename])
            kernels.run(["apt-get", *apt.options, "-qq", "download", *closure(apt)], cwd=partial, timeout=600)
            for package in sorted(partial.glob("*.deb")):
                kernels.run(["dpkg", "-x", str(package), str(partial)])
                package.unlink()
            partial.rename(self.root)

    def program(self, name):
        """Where a program is."""
        return next(path for folder in FOLDERS if (path := self.root / folder / name).exists())

    def libraries(self, path):
        """The shared libraries of a program, theirs, and its loader: by name, where each is."""
        found, todo = {}, [path]
        while todo:
            text = kernels.run([f"{self.triple}-readelf", "-dl", str(todo.pop())])
            names = re.findall(r"\(NEEDED\).*\[(.+)\]", text)
            names += [name.rpartition("/")[2] for name in re.findall(r"program interpreter: (\S+)\]", text)]
            for name in names:
                if name not in found:
                    folders = [self.root / "lib" / self.triple, self.root / "usr/lib" / self.triple]
                    found[name] = next(folder / name for folder in folders if (folder / name).exists())
                    todo.append(found[name])
        return found


def closure(apt):
    """The packages, and what they depend on."""
    no = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
    text = kernels.run(["apt-cache", *apt.options, "depends", "--recurse", *no, *PACKAGES])
    names = re.findall(r"^(\w[\w.+-]*)$", text, re.MULTILINE)
    return sorted({name for name in names if not LEFT_OUT.search(name)})


if __name__ == "__main__":
    try:
        print(Sysroot(sys.argv[1]).root)
    except (kernels.Unavailable, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"{error}")
