//! The rules in udev/, in the hands of udevd: whose the nodes of the tokens are, and that nobody else's are touched.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use firmware_fixtures::hid::VirtualHid;
use firmware_fixtures::specimen::Door;
use firmware_fixtures::usb::UsbDevice;
use fobd_drivers::models::{Model, Sight};
use fobd_drivers::transport::Bus;
use fobd_drivers::transport::hid::HidBus;

use super::guest::{Guest, hid, wait_for};
use super::parrot::keyboard;
use crate::specimens::rows;

/// The group of the rules, which this machine has only while the test runs.
const FOBD: u32 = 4711;

/// Ports that tokens take at a time; the machine has eight.
const PORTS: usize = 6;

/// Keyboards in no row: one of nobody, one of a maker who is in the table, one with a product id that is in it.
const STRANGERS: [(u16, u16); 3] = [(0x1209, 0x0002), (0x1050, 0x0001), (0x1209, 0x0407)];

/// Finds the strangers' nodes, which fobd's table would not tell.
const TABLE: &[Model] = &[keyboards(0x1209, &[0x0002, 0x0407]), keyboards(0x1050, &[0x0001])];

const fn keyboards(vendor: u16, products: &'static [u16]) -> Model {
    let sight = Sight::Hid { vendor, products, usage: (1, 6) };
    Model { maker: "Example", model: "keyboard", driver: "none", sight }
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Rules that udevd follows besides those of the system, until they are dropped.
struct Rules(Vec<PathBuf>);

impl Rules {
    /// Installs one of the project's files. `masked` are files of the system that count for nothing meanwhile.
    fn install(name: &str, masked: &[&str]) -> Self {
        let dir = Path::new("/run/udev/rules.d");
        fs::create_dir_all(dir).unwrap();
        let mut rules = Self(vec![dir.join(name)]);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("udev").join(name);
        fs::copy(source, dir.join(name)).unwrap();
        for name in masked {
            symlink("/dev/null", dir.join(name)).unwrap();
            rules.0.push(dir.join(name));
        }
        reload();
        rules
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        for file in &self.0 {
            let _ = fs::remove_file(file);
        }
        let _ = Command::new("udevadm").args(["control", "--reload"]).status();
    }
}

/// Makes udevd read its rules again, and with them the groups, when it has done what it was at.
fn reload() {
    run("udevadm", &["settle"]);
    run("udevadm", &["control", "--reload"]);
}

/// A group `fobd`, as the server's rules want it; the machine's own file is read-only.
struct Group;

impl Group {
    fn add() -> Self {
        let text = fs::read_to_string("/etc/group").unwrap();
        let others = text.lines().filter(|line| !line.starts_with("fobd:"));
        let lines: Vec<&str> = others.chain(["fobd:x:4711:", ""]).collect();
        fs::write("/run/group", lines.join("\n")).unwrap();
        run("busybox", &["mount", "--bind", "/run/group", "/etc/group"]);
        Self
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = Command::new("busybox").args(["umount", "/etc/group"]).status();
    }
}

/// One emulated token for each pair of USB ids.
fn tokens() -> Vec<VirtualHid> {
    let mut ids = BTreeSet::new();
    let tokens = rows().into_iter().filter_map(|row| match (row.make)().door() {
        Door::Hid(hid) => Some(hid),
        Door::Card(_) => None,
    });
    tokens.filter(|hid| ids.insert((hid.face().vendor_id, hid.face().product_id))).collect()
}

/// What udevd made of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    group: u32,
    mode: u32,
    uaccess: bool,
}

/// As the kernel makes a node.
const UNTOUCHED: Node = Node { group: 0, mode: 0o600, uaccess: false };

impl Node {
    fn of(path: &str) -> Self {
        // The node is there before udevd has heard of it.
        let properties =
            run("udevadm", &["info", "--wait-for-initialization=20", "--query=property", "--name", path]);
        let tags = properties.lines().find_map(|line| line.strip_prefix("CURRENT_TAGS=")).unwrap_or_default();
        let metadata = fs::metadata(path).unwrap();
        assert_eq!(metadata.uid(), 0);
        Self {
            group: metadata.gid(),
            mode: metadata.mode() & 0o7777,
            uaccess: tags.split(':').any(|tag| tag == "uaccess"),
        }
    }
}

/// Plugs in devices together, and says what became of their nodes, with their USB ids.
fn nodes(bus: &HidBus, devices: &[VirtualHid]) -> Vec<((u16, u16), Node)> {
    let mut watch = bus.watch().unwrap();
    wait_for(&mut *watch, 0);
    let plugged: Vec<_> = devices.iter().map(|hid| UsbDevice::of_hid(hid).plug_in().unwrap()).collect();
    let mut nodes = Vec::new();
    for candidate in wait_for(&mut *watch, devices.len()) {
        let hid = hid(&candidate);
        nodes.push(((hid.vendor_id, hid.product_id), Node::of(&hid.path)));
    }
    drop(plugged);
    wait_for(&mut *watch, 0);
    // What udevd still knows of a node would be taken for its word on the next of that name.
    run("udevadm", &["settle"]);
    nodes
}

/// Every token's node is as `expected` of it, and that of every stranger as the kernel made it.
fn check(expected: impl Fn(Node) -> Node) {
    let tokens = tokens();
    assert!(tokens.len() > 5, "only {} tokens", tokens.len());
    for some in tokens.chunks(PORTS) {
        for ((vendor, product), node) in nodes(&HidBus::new(), some) {
            assert_eq!(node, expected(node), "{vendor:04x}:{product:04x}");
        }
    }
    let keyboards = STRANGERS.map(|(vendor, product)| keyboard(vendor, product));
    for ((vendor, product), node) in nodes(&HidBus::of_models(TABLE), &keyboards) {
        assert_eq!(node, UNTOUCHED, "{vendor:04x}:{product:04x}");
    }
}

#[test]
fn the_servers_rules_give_the_tokens_and_nothing_else_to_its_group() {
    let _guest = Guest::enter();
    let _group = Group::add();
    let _rules = Rules::install("70-fobd.rules", &[]);
    // The system's rules tag some of them besides.
    check(|node| Node { group: FOBD, mode: 0o660, ..node });
}

#[test]
fn the_desktops_rules_tag_the_tokens_and_nothing_else_for_who_sits_there() {
    let _guest = Guest::enter();
    // The system's rules for security tokens would hide what ours do not.
    let _rules = Rules::install("71-fobd-desktop.rules", &["41-nitrokey.rules", "70-uaccess.rules"]);
    check(|_| Node { uaccess: true, ..UNTOUCHED });
}
