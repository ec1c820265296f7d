//! `honeutil export`: the files that it writes, and what it refuses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use hone_pcapng::ByteOrder;
use serde_json::Value;
use tempfile::TempDir;

use crate::fixture::{everyday, hashed};
use crate::tools::{file, honeutil, with_input};

const HOST: &str = "host=30313233-3435-3637-3839-616263646566/date=2026-07-30";

fn export(directory: &Path, arguments: &[&str], files: &[PathBuf]) -> Output {
    honeutil(["export", "--to", "jsonl", "-d"]).arg(directory).args(arguments).args(files).output().unwrap()
}

/// Exit status and standard error, without the path of the folder.
fn said(output: &Output, directory: &Path) -> (Option<i32>, String) {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    (output.status.code(), stderr.replace(directory.to_str().unwrap(), "DIR"))
}

/// All files below a folder, in the order of their paths below it.
fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn rows(directory: &Path, path: &str) -> Vec<Value> {
    let text = fs::read_to_string(directory.join(path)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_input_has_its_files_in_the_folders_of_its_host_and_day_and_is_there_once() {
    let directory = TempDir::new().unwrap();
    let tables = directory.path().join("tables");
    let input = [file(&directory, "a b.pcapng", &everyday(ByteOrder::Little))];
    let output = export(&tables, &[], &input);
    let done = "processes 6, connections 4, sections 1: 3 files in DIR\n".to_owned();
    assert_eq!(said(&output, &tables), (Some(0), done.clone()));
    let written = files(&tables);
    let path = |table: &str| format!("{table}/{HOST}/a_b-2f406b1c.jsonl");
    let expected = ["connections", "processes", "sections"].map(path);
    assert_eq!(written, [vec!["_hone_schema.json".to_owned()], expected.to_vec()].concat());
    let connections = rows(&tables, &written[1]);
    assert_eq!(
        (&connections[0]["process_name"], &connections[0]["bytes_in"]),
        (&"curl".into(), &1040.into())
    );

    let (status, message) = said(&export(&tables, &[], &input), &tables);
    assert_eq!(
        (status, message.contains("DIR is not empty: add to its tables with --append")),
        (Some(1), true)
    );
    assert_eq!(said(&export(&tables, &["--append"], &input), &tables), (Some(0), done));
    assert_eq!(files(&tables), written, "its files were replaced");
    assert_eq!(rows(&tables, &written[1]), connections);
    // Another selection of it is something else.
    export(&tables, &["--append", "--name", "curl", "--tables", "connections,packets"], &input);
    assert_eq!(files(&tables).len(), written.len() + 2);
}

#[test]
fn a_hash_that_is_known_only_after_the_end_is_in_the_row() {
    let directory = TempDir::new().unwrap();
    let tables = directory.path().join("tables");
    export(&tables, &["--tables", "processes"], &[file(&directory, "a.pcapng", &hashed().bytes)]);
    let mut hashes: Vec<_> = rows(&tables, &files(&tables)[1])
        .iter()
        .map(|row| (row["pid"].as_u64(), row["sha256"].clone(), row["no_hash"].clone()))
        .collect();
    hashes.sort_by_key(|(pid, ..)| *pid);
    let gone = hone_pcapng::NoHash::Gone.words().into();
    assert_eq!(hashes, [(Some(20), "0a".repeat(32).into(), Value::Null), (Some(21), Value::Null, gone)]);
}

#[test]
fn a_selection_exports_what_show_shows_and_the_ancestors() {
    let directory = TempDir::new().unwrap();
    let tables = directory.path().join("tables");
    let input = [file(&directory, "a.pcapng", &everyday(ByteOrder::Big))];
    export(&tables, &["--port", "443", "--tables", "processes,connections,packets"], &input);
    let written = files(&tables);
    let names = |at: usize, column: &str| -> Vec<String> {
        rows(&tables, &written[at]).iter().map(|row| row[column].as_str().unwrap_or("-").to_owned()).collect()
    };
    assert_eq!(names(1, "process_name"), ["curl"]);
    assert_eq!(names(2, "source_address"), ["10.0.0.1", "192.0.2.1", "10.0.0.1"]);
    assert_eq!(names(3, "name"), ["bash", "curl"]);
}

#[test]
fn what_cannot_be_read_or_written_is_said_and_the_rest_is_exported() {
    let directory = TempDir::new().unwrap();
    let tables = directory.path().join("tables");
    let mut torn = everyday(ByteOrder::Little);
    torn.truncate(torn.len() - 5);
    let missing = directory.path().join("missing.pcapng");
    let inputs = [file(&directory, "torn.pcapng", &torn), missing];
    let (status, message) = said(&export(&tables, &[], &inputs), &tables);
    assert_eq!(status, Some(1));
    assert!(
        message.contains("torn.pcapng") && message.contains("What comes before is exported"),
        "{message}"
    );
    assert!(
        message.contains("cannot open")
            && message.ends_with("processes 6, connections 4, sections 1: 3 files in DIR\n"),
        "{message}"
    );

    // A file is where a folder must be.
    let blocked = directory.path().join("blocked");
    export(&blocked, &[], &[]);
    let whole = [file(&directory, "whole.pcapng", &everyday(ByteOrder::Little))];
    export(&blocked, &["--tables", "sections"], &whole);
    fs::write(blocked.join("connections"), "").unwrap();
    let (status, message) = said(&export(&blocked, &["--append"], &whole), &blocked);
    assert_eq!(status, Some(1));
    assert!(message.contains("cannot write DIR/connections/"), "{message}");
    assert!(!files(&blocked).iter().any(|name| name.ends_with(".part")), "nothing unfinished is left");
}

#[test]
fn tables_of_another_schema_and_other_folders_are_not_added_to() {
    let directory = TempDir::new().unwrap();
    let input = [file(&directory, "a.pcapng", &everyday(ByteOrder::Little))];
    let other = directory.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("photo.jpg"), "").unwrap();
    let (status, message) = said(&export(&other, &["--append"], &input), &other);
    assert_eq!((status, message.contains("has no tables of Hone")), (Some(1), true), "{message}");
    fs::write(other.join("_hone_schema.json"), r#"{"schema_version": 99}"#).unwrap();
    let (status, message) = said(&export(&other, &["--append"], &input), &other);
    assert_eq!((status, message.contains("of version 99 of the schema")), (Some(1), true), "{message}");
    assert_eq!(files(&other).len(), 2);
}

#[test]
fn files_of_another_format_are_not_added() {
    let directory = TempDir::new().unwrap();
    let tables = directory.path().join("tables");
    let input = [file(&directory, "a.pcapng", &everyday(ByteOrder::Little))];
    export(&tables, &[], &input);
    let before = files(&tables);
    let output =
        honeutil(["export", "--to", "parquet", "--append", "-d"]).arg(&tables).args(&input).output().unwrap();
    let (status, message) = said(&output, &tables);
    let expected = "honeutil: the tables in DIR are jsonl files, not parquet: add to them with --to jsonl, or name another folder\n";
    assert_eq!((status, &*message), (Some(1), expected));
    assert_eq!(files(&tables), before);
}

#[test]
fn standard_input_is_exported_as_it_comes() {
    let directory = TempDir::new().unwrap();
    let tables = directory.path().join("tables");
    let output = with_input(
        honeutil(["export", "--to", "csv", "--tables", "packets", "-d"]).arg(&tables).arg("-"),
        &everyday(ByteOrder::Little),
    );
    assert_eq!(said(&output, &tables), (Some(0), "packets 6: 1 file in DIR\n".to_owned()));
}
