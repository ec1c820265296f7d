//! Linker arguments for the driver. It links no library of the Windows kits.

/// The kernel requires `/INTEGRITYCHECK` of a driver that registers for process notifications.
const ARGUMENTS: [&str; 8] = [
    "/DRIVER",
    "/SUBSYSTEM:NATIVE",
    "/ENTRY:DriverEntry",
    "/NODEFAULTLIB",
    "/NXCOMPAT",
    "/DYNAMICBASE",
    "/INTEGRITYCHECK",
    "/MANIFEST:NO",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for argument in ARGUMENTS {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    // Writes the checksum into the image's header; the kernel checks it for drivers.
    println!("cargo::rustc-link-arg-bins=/RELEASE");
}
