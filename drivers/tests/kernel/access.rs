//! Who may open a token, and when.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fobd_drivers::transport::{Bus, Candidate, TransportError, Watch};

use super::guest::{Guest, hid, open, refusal, wait_for};
use super::parrot::{Way, bus, parrot};

/// Set in the process that opens without being root.
const CHILD: &str = "FOBD_KERNEL_ACCESS";

const NOBODY: u32 = 65534;

#[test]
fn a_token_in_use_by_another_fobd_is_busy() {
    let _guest = Guest::enter();
    let bus = bus();
    let mut watch = bus.watch().unwrap();
    let _inserted = Way::Uhid.insert(&parrot("1")).unwrap();
    let candidates = wait_for(&mut *watch, 1);
    let (first, mut second) = (open(&bus, &candidates[0]), open(&bus, &candidates[0]));
    let other = super::parrot::bus();
    assert_eq!(refusal(&other, &candidates[0]), TransportError::Busy);
    drop(first);
    second.set_feature(&[1; 8]).unwrap();
    assert_eq!(refusal(&other, &candidates[0]), TransportError::Busy);
    drop(second);
    open(&other, &candidates[0]).set_feature(&[2; 8]).unwrap();
}

/// What the other process does: opens the only token, says how that went.
fn as_nobody(watch: &mut dyn Watch) -> Option<()> {
    std::env::var_os(CHILD)?;
    let candidates = watch.candidates().unwrap();
    let opened = bus().open(&candidates[0]);
    println!("\nopened: {:?}", opened.map(|_| ()));
    Some(())
}

/// Starts this test again as nobody, who may not open nodes as the kernel makes them.
fn start_as_nobody(test: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .uid(NOBODY)
        .gid(NOBODY)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn said(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().find(|line| line.starts_with("opened: ")).unwrap_or(&text).to_owned()
}

fn insert(watch: &mut dyn Watch) -> (super::parrot::Inserted, Candidate) {
    let inserted = Way::Uhid.insert(&parrot("1")).unwrap();
    (inserted, wait_for(watch, 1).remove(0))
}

#[test]
fn access_that_udev_gives_a_moment_later_is_waited_for() {
    let bus = bus();
    let mut watch = bus.watch().unwrap();
    if as_nobody(&mut *watch).is_some() {
        return;
    }
    let _guest = Guest::enter();
    let (_inserted, candidate) = insert(&mut *watch);
    let child = start_as_nobody("kernel::access::access_that_udev_gives_a_moment_later_is_waited_for");
    // The other process waits once it has a watch for access besides that for nodes; that is seen in /proc only.
    let start = Instant::now();
    while watches(child.id()) < 2 {
        assert!(start.elapsed() < Duration::from_secs(20), "it does not wait");
        thread::sleep(Duration::from_millis(1));
    }
    fs::set_permissions(&hid(&candidate).path, fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(said(child), "opened: Ok(())");
}

/// How many inotify watches a process has.
fn watches(process: u32) -> usize {
    let files = fs::read_dir(format!("/proc/{process}/fdinfo")).into_iter().flatten().flatten();
    let told = files.filter_map(|file| fs::read_to_string(file.path()).ok());
    told.map(|text| text.lines().filter(|line| line.starts_with("inotify wd:")).count()).sum()
}

#[test]
fn access_that_never_comes_is_denied_with_the_nodes_name() {
    let bus = bus();
    let mut watch = bus.watch().unwrap();
    if as_nobody(&mut *watch).is_some() {
        return;
    }
    let _guest = Guest::enter();
    let (_inserted, candidate) = insert(&mut *watch);
    assert!(Path::new(&hid(&candidate).path).exists());
    let child = start_as_nobody("kernel::access::access_that_never_comes_is_denied_with_the_nodes_name");
    let denied = TransportError::AccessDenied { detail: format!("{}: EACCES", hid(&candidate).path) };
    assert_eq!(said(child), format!("opened: Err({denied:?})"));
}
