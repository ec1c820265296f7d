"""Debian's kernels for clouds: found by series, downloaded by package name into a cache, unpacked, never installed. For arm64, those
with pages of 16 KiB, too.

For another architecture than this machine's, the programs that the bench needs come the same way.
"""

import fcntl
import os
import pathlib
import re
import subprocess
import time

# The releases that have them: 6.1, 6.12, and the newest.
SUITES = ["bookworm", "trixie", "trixie-backports"]
# The release that has what the sensor cannot run on, as long as mirrors keep it.
OLD, OLD_SUITES = "5.10", ["bullseye"]
# What is added to a series for pages of 16 KiB, and the kernel's flavour then. Those are not made for clouds.
PAGES, PAGES_FLAVOUR = "-16k", "arm64-16k"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Lists of packages are fetched again after so many seconds.
FRESH = 7 * 24 * 3600


class Unavailable(Exception):
    """Why a kernel can't be had."""


class Kernel:
    """An unpacked kernel."""

    def __init__(self, release, root):
        self.release = release
        # linux-image packages have it in /boot, linux-binary packages (from 7.3) beside the modules.
        images = [root / f"boot/vmlinuz-{release}", root / f"usr/lib/modules/{release}/vmlinuz"]
        self.image = next((path for path in images if path.exists()), None)
        modules = [root / f"lib/modules/{release}", root / f"usr/lib/modules/{release}"]
        self.modules = next((path for path in modules if path.is_dir()), None)
        if not self.image or not self.modules:
            raise Unavailable(f"the packages of {release} hold no image or no modules")


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    path = pathlib.Path(base) / "hone-vm"
    path.mkdir(parents=True, exist_ok=True)
    return path


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Unavailable(f"{command[0]}: {said[-1] if said else f'status {done.returncode}'}")
    return done.stdout


def mirror():
    """The mirror of Debian that this machine is configured for."""
    if "HONE_DEBIAN_MIRROR" in os.environ:
        return os.environ["HONE_DEBIAN_MIRROR"].rstrip("/")
    sites = run(["apt-get", "indextargets", "--format", "$(SITE) $(ORIGIN) $(LABEL)"])
    for site in sites.splitlines():
        if site.endswith(" Debian Debian"):
            return site.split()[0].rstrip("/")
    raise Unavailable("apt is not configured for Debian here: name a mirror with HONE_DEBIAN_MIRROR")


class Apt:
    """A configuration of apt's of our own, for one architecture: the system's lists, sources and packages stay as they are."""

    def __init__(self, place, arch, suites):
        self.arch = arch
        self.place = place / f"apt-{arch}-{suites[0]}"
        (self.place / "lists/partial").mkdir(parents=True, exist_ok=True)
        (self.place / "archives/partial").mkdir(parents=True, exist_ok=True)
        signed = f"[arch={arch} signed-by={KEYRING}]"
        site = mirror()
        sources = "".join(f"deb {signed} {site} {suite} main\n" for suite in suites)
        file = self.place / "sources.list"
        changed = not file.exists() or file.read_text() != sources
        file.write_text(sources)
        self.options = [
            f"-oAPT::Architecture={arch}",
            f"-oAPT::Architectures={arch}",
            f"-oDir::Etc::sourcelist={file}",
            "-oDir::Etc::sourceparts=/dev/null",
            f"-oDir::State::lists={self.place / 'lists'}",
            f"-oDir::Cache={self.place}",
            "-oAcquire::Languages=none",
            "-oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
            "-oAPT::Sandbox::User=root",
        ]
        self.stamp = self.place / "updated"
        if changed or not self.stamp.exists() or time.time() - self.stamp.stat().st_mtime > FRESH:
            run(["apt-get", *self.options, "-qq", "--error-on=any", "update"], timeout=300)
            self.stamp.touch()

    def forget(self):
        """Has the lists fetched again next time."""
        self.stamp.unlink(missing_ok=True)

    def releases(self, flavour):
        """Releases of kernels of a flavour, as `uname -r` says, oldest first."""
        text = run(["apt-cache", *self.options, "pkgnames", "linux-image-"])
        # Some kernels are signed ones as well, whose packages need others to be installed.
        names = re.findall(rf"^linux-image-(\d[\w.+-]*-{flavour})(?:-unsigned)?$", text, re.MULTILINE)
        return sorted(set(names), key=version)

    def download(self, release, into):
        """The packages with image and modules."""
        known = set(run(["apt-cache", *self.options, "pkgnames", "linux-"]).split())
        split = [f"linux-binary-{release}", f"linux-modules-{release}"]
        whole = next((name for name in (f"linux-image-{release}-unsigned", f"linux-image-{release}") if name in known), None)
        names = split if known.issuperset(split) else [whole]
        run(["apt-get", *self.options, "-qq", "download", *names], cwd=into, timeout=600)
        return sorted(into.glob("*.deb"))


def version(release):
    return [int(number) for number in re.findall(r"\d+", release)]


def matches(release, series):
    return version(release)[: len(version(series))] == version(series)


def unpack(apt, release, into):
    into.mkdir(parents=True)
    for package in apt.download(release, into):
        run(["dpkg", "-x", str(package), str(into)])
        package.unlink()
    kernel = Kernel(release, into)
    # depmod looks below lib/modules only.
    if not (into / "lib").exists():
        (into / "lib").symlink_to("usr/lib")
    run(["depmod", "-b", str(into), release])
    return kernel


def get(series, arch="amd64"):
    """The newest kernel of a series (`6.1`, or `newest` of all; `6.12-16k` has such pages), from the cache if this version is there.

    `arch`: Debian's name.
    """
    place = cache()
    flavour = f"cloud-{arch}"
    if series.endswith(PAGES) and arch == "arm64":
        series, flavour = series.removesuffix(PAGES), PAGES_FLAVOUR
    with open(place / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            apt = Apt(place, arch, OLD_SUITES if series == OLD else SUITES)
            found = [release for release in apt.releases(flavour) if series == "newest" or matches(release, series)]
        except (Unavailable, OSError, subprocess.SubprocessError) as error:
            return cached(place, series, flavour, error)
        if not found:
            raise Unavailable(f"Debian has no kernel {series} ({flavour})")
        release = found[-1]
        root = place / release
        if root.exists():
            return Kernel(release, root)
        partial = place / f"{release}.partial"
        subprocess.run(["rm", "-rf", str(partial)], check=True)
        try:
            unpack(apt, release, partial)
        except (Unavailable, OSError, subprocess.SubprocessError) as error:
            # A list that is too old may name what is not there any more.
            apt.forget()
            raise Unavailable(str(error)) from error
        partial.rename(root)
        return Kernel(release, root)


def cached(place, series, flavour, error):
    """What there is without a network."""
    names = [path.name for path in place.iterdir() if path.name.endswith(f"-{flavour}")]
    names = [name for name in names if series == "newest" or matches(name, series)]
    if not names:
        raise Unavailable(str(error)) from error
    release = max(names, key=version)
    return Kernel(release, place / release)
