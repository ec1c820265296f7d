//! What tests of several destinations need: a batch, and certificates.

use std::fs;
use std::path::Path;
use std::process::Command;

use hone_ship::batch::{Batch, DESCRIPTION, Description, Format, TableFile};
use hone_testing::run;
use sha2::{Digest as _, Sha256};

/// The host of the batch.
pub(crate) const HOST: &str = "web.1";

/// A file of a batch.
pub(crate) struct Content<'a> {
    pub(crate) table: &'a str,
    pub(crate) file: &'a str,
    pub(crate) rows: usize,
    pub(crate) bytes: Vec<u8>,
}

/// A batch of these files, in this folder. Its id is `spool-12`.
pub(crate) fn batch(folder: &Path, format: Format, files: &[Content<'_>]) -> Batch {
    let file = |content: &Content<'_>| {
        fs::write(folder.join(content.file), &content.bytes).unwrap();
        TableFile {
            table: content.table.to_owned(),
            host: HOST.to_owned(),
            date: None,
            file: content.file.to_owned(),
            rows: content.rows as u64,
            bytes: content.bytes.len() as u64,
            sha256: Sha256::digest(&content.bytes).iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    };
    let description = Description {
        id: "spool-12".to_owned(),
        number: 12,
        host: HOST.to_owned(),
        from: None,
        to: None,
        format,
        schema_version: 1,
        files: files.iter().map(file).collect(),
    };
    fs::write(folder.join(DESCRIPTION), serde_json::to_vec(&description).unwrap()).unwrap();
    Batch::open(folder).unwrap()
}

/// A certificate for this host and for 127.0.0.1, signed with its own key: `NAME.pem`, and `NAME.key`.
pub(crate) fn certificate(folder: &Path, name: &str, host: &str) {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"]);
    command.args(["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", &format!("/CN={name}")]);
    command.args(["-addext", &format!("subjectAltName=DNS:{host},IP:127.0.0.1")]);
    command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    run(command.arg("-keyout").arg(format!("{name}.key")).arg("-out").arg(format!("{name}.pem")));
}
