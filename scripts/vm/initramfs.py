"""The initramfs: busybox, the programs with their libraries, and the modules that the scenarios need."""

import lzma
import os
import pathlib
import re
import shutil
import subprocess

HERE = pathlib.Path(__file__).parent

# What the scenarios need, and what writes the results to the disk.
MODULES = """
    virtio_pci virtio_blk
    veth ipip ip6_tunnel sit ip_gre ip6_gre vxlan wireguard
    nf_tables nft_ct nft_compat nf_conntrack
    sctp raw_diag
""".split()


def wanted(kernel):
    """The modules that there are, each behind those it needs."""
    needs, paths = {}, {}
    for line in (kernel.modules / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        name = re.sub(r"\.ko.*", "", os.path.basename(path)).replace("-", "_")
        paths[name] = path
        needs[name] = [re.sub(r"\.ko.*", "", os.path.basename(other)).replace("-", "_") for other in others.split()]
    order = []

    def add(name):
        if name not in paths or name in order:
            return
        for other in needs[name]:
            add(other)
        order.append(name)

    for name in MODULES:
        add(name)
    return [(name, kernel.modules / paths[name]) for name in order]


def read_module(path):
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-dcq", path], check=True, capture_output=True).stdout
    return path.read_bytes()


def add_program(root, path, foreign):
    """A program, and the libraries it is linked against."""
    target = root / "bin" / path.name
    shutil.copy(path, target)
    # Debug information is most of a dev build.
    strip = f"{foreign.triple}-strip" if foreign else "strip"
    subprocess.run([strip, "--strip-debug", str(target)], check=True)
    if foreign:
        # The loader looks in /lib without being told; and is there itself.
        libraries = {f"/lib/{name}": library for name, library in foreign.libraries(path).items()}
    else:
        said = subprocess.run(["ldd", str(path)], capture_output=True, text=True).stdout
        libraries = {library: library for library in re.findall(r"(/\S+)(?: \(0x)", said)}
    for library, source in libraries.items():
        copy = root / library.lstrip("/")
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)


def build(kernel, programs, root, archive, job=None, foreign=None):
    """Builds it in the directory `root`, into the file `archive`. `job` is a script to be run instead of the bench.

    `foreign`: where the programs' libraries and busybox are, if they are for another architecture.
    """
    shutil.rmtree(root, ignore_errors=True)
    for name in ["bin", "dev", "etc", "modules", "out", "proc", "run", "sys", "tmp"]:
        (root / name).mkdir(parents=True)
    busybox = root / "bin/busybox"
    shutil.copy(foreign.program("busybox") if foreign else shutil.which("busybox"), busybox)
    # This machine's is of the same release, and can run here.
    listed = [shutil.which("busybox"), "--list"]
    for applet in subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split():
        link = root / "bin" / applet
        if not link.exists():
            link.symlink_to("busybox")
    for path in programs:
        target = root / "bin" / path.name
        # A full program in an applet's stead.
        if target.is_symlink():
            target.unlink()
        add_program(root, path, foreign)
    (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/protocols").touch()
    for number, (name, path) in enumerate(wanted(kernel)):
        (root / f"modules/{number:02}-{name}.ko").write_bytes(read_module(path))
    shutil.copy(HERE / "init", root / "init")
    os.chmod(root / "init", 0o755)
    if job:
        shutil.copy(job, root / "job")
    with open(archive, "wb") as file:
        names = subprocess.run(["find", "."], cwd=root, check=True, capture_output=True).stdout
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=names, stdout=file, check=True)
