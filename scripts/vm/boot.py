"""Boots a kernel with an initramfs of one's own: boot.py SERIES ARCH INITRAMFS DISK CONSOLE. Status 1: it did not come to its end."""

import pathlib
import sys

import kernels
import run

series, arch, *files = sys.argv[1:]
try:
    kernel = kernels.get(series, arch)
except kernels.Unavailable as error:
    print(f"skipped: kernel {series}: {error}")
    sys.exit(0)
archive, disk, console = map(pathlib.Path, files)
print(f"kernel {kernel.release}", flush=True)
sys.exit(not run.boot(kernel, archive, disk, [], [], console))
