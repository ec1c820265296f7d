//! Compiles the BPF programs with clang into `OUT_DIR/hone.bpf.o`, and makes `OUT_DIR/hone.skel.rs` from it: the object, its
//! maps and programs by name, and the types that both sides share (`bpf/abi.h`). Nothing compiled is kept in the repository.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use libbpf_cargo::SkeletonBuilder;

/// Whether the target's property has this value.
fn is(property: &str, value: &str) -> bool {
    env::var(format!("CARGO_CFG_TARGET_{property}")).is_ok_and(|found| found == value)
}

/// Has the skeleton include the object as a file. As a list of half a million numbers, it takes a third of a compilation.
fn include_object(skeleton: &Path) -> io::Result<()> {
    let text = fs::read_to_string(skeleton)?;
    let list = text.split_once("static DATA: [u8; ").and_then(|(before, rest)| {
        let (length, rest) = rest.split_once("] = [")?;
        let (_, after) = rest.split_once("];")?;
        Some(format!("{before}static DATA: [u8; {length}] = *include_bytes!(\"hone.bpf.o\");{after}"))
    });
    list.map_or(Ok(()), |text| fs::write(skeleton, text))
}

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets CARGO_CFG_TARGET_ARCH");
    println!("cargo::rerun-if-changed=src/bpf");
    // The programs know where these keep a system call's arguments; records have the order and the width of the processor.
    assert!(
        ["x86_64", "aarch64"].contains(&&*arch) && is("ENDIAN", "little") && is("POINTER_WIDTH", "64"),
        "Hone's sensor is for x86_64 and for arm64 (64 bits, little-endian), not for {}. The crates hone-pcapng, hone-packet and \
         hone-types, with which recordings are read, build for every target",
        env::var("TARGET").unwrap_or(arch)
    );
    // Debian keeps asm/types.h in a directory per architecture, which clang does not search for the bpf target; that of a
    // foreign architecture is beside its compiler.
    let headers = format!("/usr/include/{arch}-linux-gnu");
    let foreign_headers = format!("/usr/{arch}-linux-gnu/include");
    let skeleton = out.join("hone.skel.rs");
    let result = SkeletonBuilder::new()
        .source("src/bpf/sensor.bpf.c")
        .obj(out.join("hone.bpf.o"))
        .clang_args(["-mcpu=v3", "-Wall", "-Werror", "-idirafter", &headers, "-idirafter", &foreign_headers])
        .build_and_generate(&skeleton);
    if let Err(error) = result {
        panic!(
            "the BPF programs in crates/hone-linux/src/bpf did not compile: {error:#}\n\
             On Debian and Ubuntu: apt-get install clang libelf-dev zlib1g-dev pkg-config"
        );
    }
    include_object(&skeleton).unwrap_or_else(|error| panic!("{}: {error}", skeleton.display()));
}
