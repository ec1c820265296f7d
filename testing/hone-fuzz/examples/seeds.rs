//! Writes the seeds of every target to files: `DIRECTORY/TARGET/seed-NUMBER`.

use std::{env, fs, io, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let Some(directory) = env::args_os().nth(1) else {
        eprintln!("usage: seeds DIRECTORY");
        return ExitCode::from(2);
    };
    match write(Path::new(&directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the seeds cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(directory: &Path) -> io::Result<()> {
    for (name, _, seeds) in hone_fuzz::TARGETS {
        let directory = directory.join(name);
        fs::create_dir_all(&directory)?;
        for (number, seed) in seeds().iter().enumerate() {
            fs::write(directory.join(format!("seed-{number:02}")), seed)?;
        }
    }
    Ok(())
}
