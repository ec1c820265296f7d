"""Plays the truth bench in virtual machines; see scripts/vm-test."""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import time

import initramfs
import kernels

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "target/vm"
# What `known` excuses: (kernel, mechanism, scenario) patterns, and why.
KNOWN = pathlib.Path(__file__).parent / "known"
MEMORY = "1500"
# Seconds that a machine may take, from power on to off.
LIMIT = 600
DISK = 1 << 30
# Kernels from this one on have tracepoints that tell who uses a socket.
TRACEPOINTS = [6, 3]


def boot(kernel, archive, disk, mechanisms, scenarios, console):
    """Whether the machine came to its end; its console goes to a file."""
    with open(disk, "wb") as file:
        file.truncate(DISK)
    words = ["console=ttyS0", "quiet", "panic=-1", "lsm=landlock,lockdown,bpf"]
    words.append("hone.mechanisms=" + ",".join(mechanisms))
    if scenarios:
        words.append("hone.scenarios=" + ",".join(scenarios))
    command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", MEMORY, "-smp", "2"]
    command += ["-nographic", "-nodefaults", "-no-reboot", "-serial", "stdio"]
    command += ["-drive", f"file={disk},format=raw,if=virtio", "-kernel", kernel.image, "-initrd", archive]
    command += ["-append", " ".join(words)]
    with open(console, "wb") as file:
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, timeout=LIMIT, check=False)
        except subprocess.TimeoutExpired:
            file.write(f"\nvm: ended after {LIMIT} s\n".encode())
    return "vm: done" in console.read_text(errors="replace")


def test(kernel, programs, scenarios, place):
    """The mechanisms that are not as they should be."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    mechanisms = ["trampolines"]
    if kernels.version(kernel.release) >= TRACEPOINTS:
        mechanisms.append("tracepoints")
    root, archive, disk, console = (place / name for name in ("root", "initramfs", "disk", "console"))
    initramfs.build(kernel, programs, root, archive)
    started = time.monotonic()
    ended = boot(kernel, archive, disk, mechanisms, scenarios, console)
    text = console.read_text(errors="replace").replace("\r", "")
    print(f"kernel {kernel.release}: {time.monotonic() - started:.0f} s")
    if ended:
        with tarfile.open(disk) as results:
            results.extractall(place, filter="data")
    for rest in (root, archive, disk):
        shutil.rmtree(rest) if rest.is_dir() else rest.unlink()
    bad = []
    for mechanism in mechanisms:
        title = f"kernel {kernel.release}, {mechanism}"
        said = re.search(rf"^vm: hone-truth with {mechanism}: status (\d+)", text, re.MULTILINE)
        status = int(said[1]) if said else None
        print(f"\n{title}")
        if not ended:
            bad.append(f"{title}: the machine did not come to its end")
            print("\n".join(text.splitlines()[-40:]))
            continue
        print(read(place / mechanism / "table"))
        if status:
            bad.append(f"{title}: hone-truth ended with status {status}")
            for name in ("honeutil.log", "bench.log", "recorder.log", "kernel.log"):
                print(f"--- {name}\n{tail(read(place / mechanism / name))}")
    return bad


def read(path):
    return path.read_text(errors="replace").rstrip() if path.exists() else ""


def tail(text):
    return "\n".join(text.splitlines()[-15:])


def main():
    parser = argparse.ArgumentParser(prog="scripts/vm-test")
    parser.add_argument("--release", action="store_true", help="programs of the release profile")
    parser.add_argument("--scenario", action="append", default=[], metavar="GLOB")
    parser.add_argument("kernel", nargs="*", metavar="KERNEL")
    arguments = parser.parse_args()
    built = ROOT / "target" / ("release" if arguments.release else "debug")
    programs = [built / name for name in ("honeutil", "honed", "hone-truth")]
    programs += [pathlib.Path(path) for path in map(shutil.which, ("ip", "nft")) if path]
    bad, seen = [], set()
    for series in arguments.kernel or ["6.1", "6.12", "newest"]:
        try:
            kernel = kernels.get(series)
        except kernels.Unavailable as error:
            print(f"skipped: kernel {series}: {error}", flush=True)
            continue
        if kernel.release in seen:
            continue
        seen.add(kernel.release)
        bad += test(kernel, programs, arguments.scenario, OUT / kernel.release)
        sys.stdout.flush()
    for line in bad:
        print(f"not right: {line}")
    return 1 if bad else 0


sys.exit(main())
