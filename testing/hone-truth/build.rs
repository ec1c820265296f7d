//! Compiles the bench's own BPF programs with clang into `OUT_DIR/trace.bpf.o`. The repository contains no compiled
//! programs.

use std::env;
use std::path::PathBuf;

use libbpf_cargo::SkeletonBuilder;

fn main() {
    let object = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("trace.bpf.o");
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets CARGO_CFG_TARGET_ARCH");
    println!("cargo::rerun-if-changed=src/apps/bpf");
    // Debian keeps asm/types.h in a directory per architecture, which clang does not search for the bpf target; that of a
    // foreign architecture is beside its compiler.
    let headers = format!("/usr/include/{arch}-linux-gnu");
    let foreign_headers = format!("/usr/{arch}-linux-gnu/include");
    let result = SkeletonBuilder::new()
        .source("src/apps/bpf/trace.bpf.c")
        .obj(&object)
        .clang_args(["-mcpu=v3", "-Wall", "-Werror", "-idirafter", &headers, "-idirafter", &foreign_headers])
        .build();
    if let Err(error) = result {
        panic!(
            "the BPF programs in testing/hone-truth/src/apps/bpf did not compile: {error:#}\n\
             On Debian and Ubuntu: apt-get install clang libelf-dev zlib1g-dev pkg-config"
        );
    }
}
