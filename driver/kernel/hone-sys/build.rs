//! How a driver is linked: nothing but what is given here, no library of the Windows kits.

/// `/INTEGRITYCHECK` is what the kernel asks of a driver that is told of processes.
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
    // The checksum in the image's header, which the kernel checks of drivers.
    println!("cargo::rustc-link-arg-bins=/RELEASE");
}
