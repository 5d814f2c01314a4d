//! A full disk and a place that cannot be written: a clear error, and nothing accepted is lost.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use crate::child::Child;
use crate::support::{Place, accept, note};

/// The numbers that follow this word.
fn numbers(said: &[String], word: &str) -> BTreeSet<i64> {
    said.iter()
        .filter_map(|line| line.strip_prefix(word)?.trim().parse().ok())
        .collect()
}

fn line<'a>(said: &'a [String], word: &str) -> &'a str {
    let found = said.iter().find_map(|line| line.strip_prefix(word));
    found.unwrap_or_else(|| panic!("it never said {word:?}: {said:?}"))
}

#[tokio::test]
async fn a_file_that_may_not_grow() {
    let place = Place::new();
    let first = accept(&place.open(), note("before")).await;
    // In blocks of 512 or 1,024 bytes. The signal would kill it before it can say what happened.
    let limit = "trap '' XFSZ; ulimit -f 500";
    let said = Child::start_after(limit, "fill", &place.path()).end();
    let refused = line(&said, "refused");
    assert!(refused.contains("the store's disk failed"), "{refused}");
    assert!(
        refused.contains("the limits that are set for it"),
        "{refused}"
    );
    let mut accepted = numbers(&said, "accepted");
    assert!(!accepted.is_empty(), "{said:?}");
    accepted.insert(first.id);

    let store = place.open();
    let kept = store.entries(None, false).await.unwrap();
    let kept: BTreeSet<i64> = kept.iter().map(|entry| entry.id).collect();
    assert_eq!(
        kept, accepted,
        "what was accepted, and nothing that was refused"
    );
    accept(&store, note("there is room again")).await;
}

#[test]
fn a_full_disk_and_a_read_only_one() {
    let place = Place::new();
    let disk = place.path().with_file_name("disk");
    fs::create_dir(&disk).unwrap();
    let mount = format!("mount -t tmpfs -o size=1m none '{}'", disk.display());
    let own_mounts = |shell: &str| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", shell]);
        command
    };
    if !own_mounts(&mount)
        .status()
        .is_ok_and(|status| status.success())
    {
        eprintln!(
            "not shown here, since this sandbox mounts nothing; the other tests of this file show the like"
        );
        return;
    }
    let mut command = own_mounts(&format!("{mount} && exec \"$0\" \"$@\""));
    command.arg(std::env::current_exe().unwrap());
    let said = Child::run(command, "fill a disk", &disk.join("store.sqlite3")).end();

    let refused = line(&said, "refused");
    assert!(refused.contains("disk is full: make room"), "{refused}");
    let accepted = numbers(&said, "accepted");
    assert!(
        accepted.len() > 1,
        "before it was full, and after: {said:?}"
    );
    assert_eq!(numbers(&said, "kept"), accepted);
    let read_only: Vec<&String> = said
        .iter()
        .filter(|line| line.starts_with("read-only"))
        .collect();
    assert_eq!(read_only.len(), 2, "{said:?}");
    for message in read_only {
        assert!(message.contains("Read-only file system"), "{message}");
        assert!(
            message.contains("check the folder and its permissions"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_store_that_may_not_be_written() {
    let place = Place::new();
    let folder = place.path().parent().unwrap().to_owned();
    let entry = accept(&place.open(), note("before")).await;
    for file in fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let readable = if path.is_dir() { 0o555 } else { 0o444 };
        fs::set_permissions(path, Permissions::from_mode(readable)).unwrap();
    }
    fs::set_permissions(&folder, Permissions::from_mode(0o555)).unwrap();

    // Permissions do not stop root, so it is somebody else who tries, with a program that they can read.
    let programs = tempfile::tempdir().unwrap();
    fs::set_permissions(programs.path(), Permissions::from_mode(0o755)).unwrap();
    let program = programs.path().join("child");
    // Not by ourselves: a child that another test just forked would have it open for writing, and what
    // is open for writing cannot be run.
    let mut copy = Command::new("cp");
    copy.arg(std::env::current_exe().unwrap()).arg(&program);
    assert!(copy.status().unwrap().success());
    let mut command = Command::new(program);
    // What we made is root's if we are root.
    if fs::metadata(programs.path()).unwrap().uid() == 0 {
        std::os::unix::process::CommandExt::uid(&mut command, 65_534);
    }
    let said = Child::run(command, "open", &place.path()).end();
    let refused = line(&said, "refused");
    assert!(
        refused.contains("check the folder and its permissions")
            || refused.contains("check the permissions"),
        "{refused}"
    );

    fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
    for file in fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let writable = if path.is_dir() { 0o700 } else { 0o600 };
        fs::set_permissions(path, Permissions::from_mode(writable)).unwrap();
    }
    assert_eq!(crate::support::next(&place.open()).await, [entry]);
}
