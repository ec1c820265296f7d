"""Plays the truth bench in virtual machines; see scripts/test-vm."""

import argparse
import fnmatch
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import time
import typing
from concurrent.futures import ThreadPoolExecutor

import initramfs
import kernels
import sysroot

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "target/vm"
# Scores on this machine what was recorded in another.
BENCH = ROOT / "target/debug/hone-truth"
# What is weaker on some kernels; says itself how it is read.
KNOWN = pathlib.Path(__file__).parent / "known"
MEMORY = "1500"
# Seconds that a machine may take, from power on to off.
LIMIT = 1500
DISK = 1 << 30
# Kernels from this one on have tracepoints that report who uses a socket.
TRACEPOINTS = [6, 3]
# What --quick plays: for each architecture the kernels, the longest first, and for each the mechanism and the scenarios.
# These are what depends on the order of memory between processors, and each way to find an owner.
# Where a scenario does the same over IPv4 and IPv6 but for the address, it is played over IPv4 only: the live tests play both.
PART = [
    *["tcp", "udp-*", "ping-*", "tcp-accept-fork", "tcp-two-cpus", "threads"],
    *["tcp-passed/v4", "tcp-shared-*/v4", "handed-*/v4", "io-uring/v4", "crowd-*/v4"],
]
# Of them, those on arm64, which is emulated in twice the time.
PART_ARM64 = ["tcp", "udp-passed/v4", "ping-*", "tcp-accept-fork/v4", "tcp-shared-send/v4", "tcp-two-cpus", "handed-tcp-exec/v4", "threads/v4"]
# Every scenario, and over IPv6, too, what the kernel or the sensor has code of its own for there.
ALL = [
    *["*/v4", "tcp/v6", "tcp-late-accept/v6", "tcp-defer-accept/v6", "tcp-accept-fork/v6", "loopback/v6", "threads/v6", "udp-*/v6", "ping-*/v6"],
    *["raw-two/v6", "tcp-closed/v6", "tcp-stray/v6", "tcp-time-wait/v6", "forwarded/v6", "firewall/v6", "filtered-*/v6", "big-packets/v6"],
    *["old-sockets/v6", "vxlan/v6", "gre/v6", "wireguard/v6", "mptcp/v6", "sctp/v6"],
]
QUICK = {
    "amd64": {"newest": ("trampolines", ALL), "6.1": ("trampolines", PART), "6.12": ("tracepoints", PART)},
    "arm64": {"newest": ("trampolines", PART_ARM64)},
}
# And else; 6.1 has nothing for arm64 that suffices.
SERIES = {"amd64": ["6.1", "6.12", "newest"], "arm64": ["6.12", "newest", "newest-16k"]}
# From this one on the kernel can leave a program out for a moment (docs/compatibility.md). What is not right there is played
# once more, on a machine of its own: what Hone does wrong is wrong again.
PREEMPTS = [7]
# An emulated processor can stand still for longer than a packet waits for its process, half a second. One or two packets
# without a process are played once more on every kernel; a wrong process, or a packet that is missing, is not.
FEW = re.compile(r": unattributed: [12]$")


def machine(kernel):
    """The emulated machine that a kernel gets, and its console."""
    if "arm64" in kernel.release:
        # Weakly ordered, as far as an emulation on a strongly ordered processor is.
        return ["qemu-system-aarch64", "-M", "virt", "-accel", "tcg,thread=multi", "-cpu", "max,pauth-impdef=on"], "ttyAMA0"
    # The emulation of qemu 7.2 is not exact. Seen were, with a thread for each processor, an int3 that ran after the
    # kernel had patched it away; and a CMPXCHG16B that left garbage in the flags, a double fault in kmalloc(). Kernels
    # from 6.18 use that less, but cannot do without: BPF programs would get no memory for sockets.
    model = "max" if kernels.version(kernel.release) >= [6, 18] else "max,cx16=off"
    command = ["qemu-system-x86_64", "-accel", "tcg,thread=single", "-cpu", model]
    # From 7.0 on, a task can be preempted within a BPF program, and others on its processor do without that program
    # meanwhile. A tick of the emulated clock is to be as many instructions as on a real machine. (6.1 does not boot so.)
    if kernels.version(kernel.release) >= PREEMPTS:
        command += ["-icount", "shift=0,sleep=off"]
    return command, "ttyS0"


def boot(kernel, archive, disk, mechanisms, scenarios, console):
    """Whether the machine came to its end; its console goes to a file."""
    with open(disk, "wb") as file:
        file.truncate(DISK)
    command, terminal = machine(kernel)
    words = [f"console={terminal}", "quiet", "panic=-1", "lsm=landlock,lockdown,bpf"]
    words.append("hone.mechanisms=" + ",".join(mechanisms))
    if scenarios:
        words.append("hone.scenarios=" + ",".join(scenarios))
    command += ["-m", MEMORY, "-smp", "2"]
    command += ["-nographic", "-nodefaults", "-no-reboot", "-serial", "stdio"]
    command += ["-drive", f"file={disk},format=raw,if=virtio", "-kernel", kernel.image, "-initrd", archive]
    command += ["-append", " ".join(words)]
    with open(console, "wb") as file:
        try:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, timeout=LIMIT, check=False)
        except subprocess.TimeoutExpired:
            file.write(f"\nvm: ended after {LIMIT} s\n".encode())
    return "vm: done" in console.read_text(errors="replace")


def plan(kernel, series, arch, is_quick, scenarios):
    """The mechanisms and the scenarios that a kernel is played with; no scenario: all."""
    mechanisms = ["trampolines"] if kernels.version(kernel.release) < TRACEPOINTS else ["trampolines", "tracepoints"]
    if not is_quick:
        return mechanisms, scenarios
    mechanism, some = QUICK[arch].get(series, (mechanisms[0], []))
    return [mechanism], scenarios or some


def test(kernel, foreign, programs, mechanisms, scenarios, job):
    """What is not as it should be, and all there is to say."""
    bad, said = play(kernel, foreign, programs, mechanisms, scenarios, job, OUT / kernel.release)
    is_late = kernels.version(kernel.release) >= PREEMPTS or all(FEW.search(failure.text) for failure in bad)
    if not bad or not is_late or not all(failure.scenario for failure in bad):
        return bad, said
    still = []
    for mechanism in sorted({failure.mechanism for failure in bad}):
        names = sorted({failure.scenario.partition("/")[0] for failure in bad if failure.mechanism == mechanism})
        place = OUT / f"{kernel.release}-again-{mechanism}"
        again, more = play(kernel, foreign, programs, [mechanism], names, None, place)
        still += again
        said += [*more, *(f"played once more: {failure.text}" for failure in bad if failure.mechanism == mechanism)]
    return still, said


class Failure(typing.NamedTuple):
    """What is not as it should be. Of a machine that did not come to its end: without mechanism and scenario."""

    text: str
    mechanism: str = ""
    scenario: str = ""


def play(kernel, foreign, programs, mechanisms, scenarios, job, place):
    """Boots once: what is not as it should be, and all there is to say."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    root, archive, disk, console = (place / name for name in ("root", "initramfs", "disk", "console"))
    initramfs.build(kernel, programs, root, archive, job, foreign)
    started = time.monotonic()
    ended = boot(kernel, archive, disk, mechanisms, scenarios, console)
    said = [f"kernel {kernel.release}: {time.monotonic() - started:.0f} s"]
    text = console.read_text(errors="replace").replace("\r", "")
    if ended:
        with tarfile.open(disk) as results:
            results.extractall(place, filter="data")
    shutil.rmtree(root)
    archive.unlink()
    disk.unlink()
    if not ended:
        said += text.splitlines()[-60:]
        return [Failure(f"kernel {kernel.release}: the machine did not come to its end")], said
    if job:
        return [], [*said, f"what the job left is in {place}"]
    bad = []
    for mechanism in mechanisms:
        title, results = f"kernel {kernel.release}, {mechanism}", place / mechanism
        failures, excused = judge(kernel, mechanism, results, text)
        bad += [Failure(f"{title}: {failure}", mechanism, scenario) for scenario, failure in failures]
        said += ["", title, read(results / "table"), *excused]
        if failures:
            for name in ("honeutil.log", "bench.log", "recorder.log", "kernel.log"):
                said += [f"--- {name}", *read(results / name).splitlines()[-25:]]
    return bad, said


def judge(kernel, mechanism, results, console):
    """What one mechanism has recorded that is not as it should be, by its scenario, and what is known not to be."""
    status = re.search(rf"^vm: hone-truth with {mechanism}: status (\d+)", console, re.MULTILINE)
    if not status or status[1] != "0":
        return [("", f"hone-truth ended with status {status[1] if status else '?'}")], []
    files = ["--truth", results / "facts", "--recording", results / "recording.pcapng"]
    with open(results / "table", "w") as table:
        subprocess.run([str(BENCH), "score", *files], stdout=table, check=False)
    done = subprocess.run([str(BENCH), "score", "--json", *files], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        return [("", done.stderr.strip())], []
    known, failures, excused = read_known(), [], []
    for score in json.loads(done.stdout):
        if score["good"]:
            continue
        name = score["scenario"]
        kinds = ["failed", "wrong", "unattributed", "missing", "duplicated", "early", "closes"]
        kinds = [kind for kind in kinds if score[kind]]
        reasons = [excuse(known, kernel.release, mechanism, name, kind) for kind in kinds or ["unrecorded"]]
        if all(reasons):
            excused += [f"known: {name}: {reason}" for reason in sorted(set(reasons))]
        else:
            counts = ", ".join(f"{kind}: {score[kind]}" for kind in kinds) or "nothing was recorded"
            failures.append((name, f"{name}: {counts}"))
    return failures, excused


def read_known():
    lines = [line.split(None, 4) for line in KNOWN.read_text().splitlines()]
    return [line for line in lines if line and line[0] != "#"]


def excuse(known, release, mechanism, scenario, kind):
    """Why this is to be expected, if it is."""
    for series, how, which, what, why in known:
        first, _, last = series.partition("-")
        number = kernels.version(release)[:2]
        within = kernels.version(first) <= number <= (kernels.version(last) if last else kernels.version(first))
        if within and fnmatch.fnmatch(mechanism, how) and fnmatch.fnmatch(scenario, which) and kind == what:
            return why
    return None


def read(path):
    return path.read_text(errors="replace").rstrip() if path.exists() else ""


def get_programs(arch, profile, names):
    """Where programs of another architecture than this machine's come from, and the files of all that a machine needs."""
    if arch == "amd64":
        foreign = None
        built = ROOT / "target" / profile
        others = [pathlib.Path(path) for path in map(shutil.which, names) if path]
    else:
        foreign = sysroot.Sysroot(arch)
        built = ROOT / "target/aarch64-unknown-linux-gnu" / profile
        others = [foreign.program(name) for name in names]
    return foreign, [*(built / name for name in ("honeutil", "honed", "hone-truth")), *others]


def main():
    parser = argparse.ArgumentParser(prog="scripts/test-vm")
    parser.add_argument("--arch", choices=SERIES, help="Debian's name of an architecture; amd64, and with --quick both")
    parser.add_argument("--quick", action="store_true", help="what CI plays: one mechanism a kernel, and a part of the scenarios on most")
    parser.add_argument("--release", action="store_true", help="programs of the release profile")
    parser.add_argument("--scenario", action="append", default=[], metavar="GLOB")
    parser.add_argument("--job", type=pathlib.Path, help="a script to run instead; it leaves its results in /out")
    parser.add_argument("--program", action="append", default=[], help="one more program to have there")
    parser.add_argument("kernel", nargs="*", metavar="KERNEL")
    arguments = parser.parse_args()
    # Where ip, nft and depmod are, which is not on everybody's path.
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    archs = [arguments.arch] if arguments.arch else list(QUICK) if arguments.quick else ["amd64"]
    found = {}
    for arch in archs:
        try:
            foreign, programs = get_programs(arch, "release" if arguments.release else "debug", ["ip", "nft", *arguments.program])
        except (kernels.Unavailable, OSError, subprocess.SubprocessError) as error:
            print(f"skipped: programs for {arch}: {error}", flush=True)
            continue
        for series in arguments.kernel or (QUICK[arch] if arguments.quick else SERIES[arch]):
            try:
                kernel = kernels.get(series, arch)
            except kernels.Unavailable as error:
                print(f"skipped: kernel {series} for {arch}: {error}", flush=True)
                continue
            found[kernel.release] = (kernel, foreign, programs, *plan(kernel, series, arch, arguments.quick, arguments.scenario))
    failures = []
    # A machine keeps one processor busy.
    with ThreadPoolExecutor(os.cpu_count()) as pool:

        def play_one(one):
            return test(*one, arguments.job)

        for bad, said in pool.map(play_one, found.values()):
            print("\n".join(said), flush=True)
            failures += bad
    for line in failures:
        print(f"not right: {line.text}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
