"""Three hosts and a router in network namespaces, each host with its own machine id, boot id and host name; a part of scripts/test-fleet:
hosts.py HONEUTIL FOLDER. Records each host's traffic by itself into FOLDER/recordings, and has both ends of each exchange write who they were into FOLDER/log.

    laptop 10.77.1.1 -- 10.77.1.2 web 10.77.2.2 -- 10.77.2.3 db
    laptop 10.77.3.1 -- router, which translates the sender's address -- 10.77.4.3 db
"""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

HONEUTIL, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
PLAYER = pathlib.Path(__file__).resolve().parent / "player.py"
# Debian's, which all users may run.
PYTHON = "/usr/bin/python3"
LOG = str(FOLDER / "log")
# Users that only these hosts have: what they send and receive is the host's.
USERS = {"laptop": 64101, "web": 64102, "db": 64103, "copy": 64104}
# The disk of the last one is a copy of that of web, with the machine id.
MACHINES = {"laptop": 0xA1, "web": 0xA2, "db": 0xA3, "copy": 0xA2}
# In use on each host by itself, as those of containers are.
EVERYWHERE = "172.31.0.1"
LINKS = [
    (("laptop", "10.77.1.1"), ("web", "10.77.1.2")),
    (("web", "10.77.2.2"), ("db", "10.77.2.3")),
    (("laptop", "10.77.3.1"), ("router", "10.77.3.9")),
    (("router", "10.77.4.9"), ("db", "10.77.4.3")),
]
HOSTS = ["laptop", "web", "db"]
NAMESPACES = {name: f"hone-fleet-{os.getpid()}-{name}" for name in [*HOSTS, "router"]}


def run(*command, **more):
    """Runs a command that must succeed."""
    return subprocess.run(list(map(str, command)), check=True, text=True, capture_output=True, **more).stdout


def inside(name, *command):
    """A command in the network namespace of a host."""
    return ["ip", "netns", "exec", NAMESPACES[name], *map(str, command)]


def networks(cleanup):
    """Makes the namespaces and what connects them."""
    for namespace in NAMESPACES.values():
        run("ip", "netns", "add", namespace)
        cleanup.callback(subprocess.run, ["ip", "netns", "delete", namespace], check=False)
    for number, ends in enumerate(LINKS):
        devices = [f"hf{os.getpid() % 1000000}{number}{end}" for end in "ab"]
        run("ip", "link", "add", devices[0], "type", "veth", "peer", "name", devices[1])
        for device, (name, address) in zip(devices, ends):
            run("ip", "link", "set", device, "netns", NAMESPACES[name])
            run(*inside(name, "ip", "address", "add", f"{address}/24", "dev", device))
            run(*inside(name, "ip", "link", "set", device, "up"))
    for name in NAMESPACES:
        run(*inside(name, "ip", "link", "set", "lo", "up"))
        if name != "router":
            run(*inside(name, "ip", "address", "add", f"{EVERYWHERE}/32", "dev", "lo"))
    run(*inside("laptop", "ip", "route", "add", "10.77.4.0/24", "via", "10.77.3.9"))
    run(*inside("router", "sysctl", "-qw", "net.ipv4.ip_forward=1"))
    rules = "add table ip nat\n" \
        "add chain ip nat out { type nat hook postrouting priority srcnat; }\n" \
        "add rule ip nat out ip saddr 10.77.3.1 masquerade\n"
    run(*inside("router", "nft", "-f", "-"), input=rules)


def machine(part, machine_id, boot, host_name, *command):
    """A command on a machine with this identity. The sensor needs no namespace of the network."""
    identity = FOLDER / f"identity-{part}"
    identity.mkdir(exist_ok=True)
    (identity / "machine-id").write_text(f"{machine_id:032x}\n")
    (identity / "boot").write_text(f"00000000-0000-4000-8000-{boot:012x}\n")
    script = (
        'mount --bind "$1/machine-id" /etc/machine-id && mount --bind "$1/boot" /proc/sys/kernel/random/boot_id '
        '&& hostname "$2" && shift 2 && exec "$@"'
    )
    return list(map(str, ["unshare", "--mount", "--uts", "sh", "-c", script, "sh", identity, host_name, *command]))


def program(name, called, *words):
    """A program on a host, as the host's user."""
    path = FOLDER / "bin" / called
    if not path.exists():
        shutil.copyfile(PYTHON, path)
        path.chmod(0o755)
    # The copy has the network of its original.
    user, name = USERS[name], "web" if name == "copy" else name
    as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    return inside(name, *as_user, "env", "PYTHONHOME=/usr", path, PLAYER, LOG, name, *words)


def serve(cleanup, servers):
    """Starts servers, and waits until all are ready."""
    started = []
    for name, called, *where in servers:
        server = subprocess.Popen(program(name, called, "serve", *where), stdout=subprocess.PIPE, text=True)
        cleanup.callback(ended, server)
        started.append((called, server))
    for called, server in started:
        if server.stdout.readline() != "ready\n":
            raise SystemExit(f"the server {called} has not started")


def ended(process):
    """Ends a process of this script."""
    process.kill()
    process.wait()


def begin(name, called, protocol, local, remote, *tags):
    """Starts a client, and waits until its first exchange is over."""
    command = program(name, called, "call", protocol, *local, *remote, *tags)
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if client.stdout.readline() != "answered\n":
        raise SystemExit(f"{called} got no answer to {tags[0]}")
    return client


def call(*what):
    """One exchange."""
    if begin(*what).wait(timeout=60):
        raise SystemExit(f"a client failed: {what}")


class Recorder:
    """Records what a host's user sends and receives. The sensor sees all namespaces of this machine; a real host has only its own."""

    def __init__(self, cleanup, name, part, boot, host_name):
        self.file, said = FOLDER / "recordings" / f"{part}.pcapng", FOLDER / f"{part}.said"
        command = [HONEUTIL, "read", "--local", "-w", self.file, "--user", USERS[name]]
        with said.open("w") as out:
            self.process = subprocess.Popen(machine(part, MACHINES[name], boot, host_name, *command), stderr=out)
        cleanup.callback(ended, self.process)
        self.said = said

    def wait(self):
        """Waits until it records: its file begins when all programs are attached."""
        for _ in range(6000):
            if self.file.exists() and self.file.stat().st_size:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit(f"a recorder has not started: {self.said.read_text()}")

    def finish(self):
        """Ends it."""
        self.process.send_signal(signal.SIGINT)
        if self.process.wait(timeout=120):
            raise SystemExit(f"a recorder has failed: {self.said.read_text()}")


def play(cleanup):
    """All that happens."""
    networks(cleanup)
    recorders = [
        Recorder(cleanup, name, part, boot, host_name)
        for name, part, boot, host_name in (
            ("laptop", "laptop-1", 1, "laptop"), ("web", "web", 2, "web-1"), ("db", "db", 3, "db-1"), ("copy", "copy", 4, "web-2")
        )
    ]
    for recorder in recorders:
        recorder.wait()
    own = [(name, "metrics", "tcp", address, 9100) for name in HOSTS for address in ("127.0.0.1", EVERYWHERE)]
    serve(cleanup, [
        ("web", "webserver", "tcp", "10.77.1.2", 8080), ("db", "database", "tcp", "0.0.0.0", 5432),
        ("db", "resolver", "udp", "0.0.0.0", 5300), *own,
    ])
    call("laptop", "browser", "tcp", ("10.77.1.1", 0), ("10.77.1.2", 8080), "page")
    call("web", "webapp", "tcp", ("10.77.2.2", 0), ("10.77.2.3", 5432), "rows")
    call("copy", "stranger", "udp", ("10.77.2.2", 0), ("10.77.2.3", 5300), "copied")
    call("web", "webapp", "udp", ("10.77.2.2", 0), ("10.77.2.3", 5300), "name")
    # The same ports again at once, by another program and to another process.
    for number, called in enumerate(("browser", "updater")):
        call("laptop", called, "tcp", ("10.77.1.1", 42000), ("10.77.1.2", 8080), f"again-{number}")
    # The same addresses and ports on all hosts, at the same time.
    for address in ("127.0.0.1", EVERYWHERE):
        tags = [(name, f"own-{name}-{address}") for name in HOSTS]
        clients = [begin(name, "agent", "tcp", (address, 43000), (address, 9100), tag, tag) for name, tag in tags]
        for client in clients:
            client.stdin.close()
            client.wait(timeout=60)
    # Through the translator.
    call("laptop", "backup", "tcp", ("10.77.3.1", 0), ("10.77.4.3", 5432), "translated")
    # A connection and its process go on in the next recording, whose host has another name and whose recorder has started anew.
    long = begin("laptop", "sync", "tcp", ("10.77.1.1", 0), ("10.77.1.2", 8080), "long", "longer")
    recorders.pop(0).finish()
    recorders.append(Recorder(cleanup, "laptop", "laptop-2", 1, "renamed"))
    recorders[-1].wait()
    long.stdin.write("\n")
    long.stdin.flush()
    if long.stdout.readline() != "answered\n" or long.wait(timeout=60):
        raise SystemExit("the long connection has ended early")
    for recorder in recorders:
        recorder.finish()


for folder in ("bin", "recordings"):
    (FOLDER / folder).mkdir()
pathlib.Path(LOG).touch()
for path, mode in ((FOLDER, 0o755), (LOG, 0o666)):
    os.chmod(path, mode)
with contextlib.ExitStack() as stack:
    play(stack)
