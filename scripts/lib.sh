# Sourced by the scripts beside it: installs the Debian or Ubuntu packages named as arguments that are not there yet.

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		echo "this needs root: run it as root, or install sudo ($*)" >&2
		return 1
	fi
}

need_packages() {
	missing=
	for package in "$@"; do
		dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -q '^installed$' ||
			missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	command -v apt-get >/dev/null || {
		echo "this machine has no apt-get; install what corresponds to:$missing" >&2
		return 1
	}
	echo "installing:$missing" >&2
	as_root apt-get update -qq
	# shellcheck disable=SC2086 # a list of package names
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# A place for packages of Python in the target directory: $venv. `need_venv NAME IMPORTS PACKAGE...`
need_venv() {
	need_packages python3-venv || return
	venv=${CARGO_TARGET_DIR:-$(pwd)/target}/$1-venv
	venv_imports=$2
	shift 2
	[ -x "$venv/bin/python" ] || python3 -m venv "$venv" || return
	"$venv/bin/python" -c "$venv_imports" 2>/dev/null || "$venv/bin/pip" install --quiet --disable-pip-version-check "$@"
}

# Whether there is a cargo that can build this: in the folder of Cargo.toml, for it says which.
need_cargo() {
	needed=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
	command -v cargo >/dev/null || {
		echo "cargo is not in PATH: install Rust $needed or newer (https://rustup.rs), then run this again" >&2
		return 1
	}
	found=$(cargo --version | sed 's/^cargo \([^ ]*\).*/\1/')
	printf '%s\n' "$needed" "$found" | sort -V -C || {
		echo "cargo is ${found:-of no known version}: install Rust $needed or newer (https://rustup.rs), then run this again" >&2
		return 1
	}
}

# Rust's standard library for another target.
need_target() {
	[ -d "$(rustc --print target-libdir --target "$1")" ] || rustup target add "$1" || {
		echo "the standard library for $1 is not installed and cannot be: rustup target add $1" >&2
		return 1
	}
}

# What it takes to build: the BPF compiler, and what libbpf is linked against.
build_packages="clang gcc libc6-dev libelf-dev make pkg-config zlib1g-dev"

# The debug programs and examples of all packages: what one script has built, the others have, and so has `cargo test --workspace`. Of a
# choice of packages, cargo would build many dependencies once more, with the features that these packages alone ask for.
build_programs() {
	cargo build --locked --quiet --workspace --bins --examples
}

# Has cargo build for arm64, from here on: `--target "$target"`. Debian's libraries for it are unpacked, not installed.
cross_to_arm64() {
	need_target aarch64-unknown-linux-gnu || return
	need_packages binutils-aarch64-linux-gnu debian-archive-keyring gcc-aarch64-linux-gnu libc6-dev-arm64-cross python3 || return
	target=aarch64-unknown-linux-gnu
	sysroot=$(python3 -B scripts/vm/sysroot.py arm64) || return
	export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
	export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
	export CFLAGS_aarch64_unknown_linux_gnu="-idirafter $sysroot/usr/include -idirafter $sysroot/usr/include/aarch64-linux-gnu"
	export LIBBPF_SYS_LIBRARY_PATH_aarch64_unknown_linux_gnu="$sysroot/usr/lib/aarch64-linux-gnu"
}
