//! Compiles the BPF programs with clang into `OUT_DIR/hone.bpf.o`, and makes `OUT_DIR/hone.skel.rs` from it: the object, its
//! maps and programs by name, and the types that both sides share (`bpf/abi.h`). Nothing compiled is kept in the repository.

use std::env;
use std::path::PathBuf;

use libbpf_cargo::SkeletonBuilder;

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets CARGO_CFG_TARGET_ARCH");
    println!("cargo::rerun-if-changed=src/bpf");
    // Debian keeps asm/types.h in a directory per architecture, which clang does not search for the bpf target.
    let headers = format!("/usr/include/{arch}-linux-gnu");
    let result = SkeletonBuilder::new()
        .source("src/bpf/sensor.bpf.c")
        .obj(out.join("hone.bpf.o"))
        .clang_args(["-mcpu=v3", "-Wall", "-Werror", "-idirafter", &headers])
        .build_and_generate(out.join("hone.skel.rs"));
    if let Err(error) = result {
        panic!(
            "the BPF programs in crates/hone-linux/src/bpf did not compile: {error:#}\n\
             On Debian and Ubuntu: apt-get install clang libelf-dev zlib1g-dev pkg-config"
        );
    }
}
