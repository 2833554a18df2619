//! From facts to findings, and from a machine of files to facts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use fobd_drivers::transport::pcsc::readers::Reader;
use fobd_drivers::transport::{HidCandidate, Interface};

use super::facts::{Access, Facts, HidNode, Me, Readers, UsbDevice};
use super::*;

const HID: u8 = 0x03;
const CARD: u8 = 0x0B;

fn key(vendor: u16, product: u16, name: &str, classes: &[u8]) -> UsbDevice {
    UsbDevice { port: "1-2".to_owned(), vendor, product, name: name.to_owned(), classes: classes.to_vec() }
}

fn nitrokey_pro(access: Access) -> Facts {
    Facts {
        usb: vec![key(0x20A0, 0x4108, "Nitrokey Pro", &[HID, CARD])],
        hid: vec![node(0x20A0, 0x4108, access)],
        me: Me { user: "alice".to_owned(), ..Me::default() },
        ..Facts::default()
    }
}

fn node(vendor_id: u16, product_id: u16, access: Access) -> HidNode {
    let candidate = HidCandidate {
        path: "/dev/hidraw3".to_owned(),
        vendor_id,
        product_id,
        release: 0,
        usage_page: 0xFF00,
        usage: 1,
        interface: None,
        serial: None,
        product: String::new(),
        attachment: 0,
    };
    HidNode { candidate, access, owner: "root:root 0600".to_owned(), holders: Vec::new() }
}

fn reader(name: &str, card: bool) -> Reader {
    Reader { name: name.to_owned(), card: card.then_some(Interface::Contact), mute: false, exclusive: false }
}

fn with_readers(usb: Vec<UsbDevice>, readers: Vec<Reader>) -> Facts {
    Facts { usb, readers: Readers::Listed(readers), ..Facts::default() }
}

/// Verdict and code of each finding.
fn codes(facts: &Facts) -> Vec<(Verdict, &'static str)> {
    diagnose(facts).iter().map(|finding| (finding.verdict, finding.code)).collect()
}

/// The only finding's advice.
fn help(facts: &Facts) -> String {
    let findings = diagnose(facts);
    assert_eq!(findings.len(), 1, "{findings:?}");
    findings[0].help.clone().unwrap_or_default()
}

const MOLTO2: (u16, u16) = (0x349E, 0x0300);

fn molto2() -> UsbDevice {
    key(MOLTO2.0, MOLTO2.1, "TOKEN2 Molto2", &[CARD])
}

#[test]
fn a_node_that_is_open_is_well_and_a_closed_one_says_how_to_open_it() {
    assert_eq!(codes(&nitrokey_pro(Access::Granted)), [(Verdict::Well, "hid_ready")]);
    let denied = nitrokey_pro(Access::Denied);
    assert_eq!(codes(&denied), [(Verdict::Problem, "node_denied")]);
    let found = diagnose(&denied).remove(0);
    assert_eq!(found.about, "Nitrokey Pro (20a0:4108 at 1-2)");
    assert_eq!(found.what, "HID: alice may not open /dev/hidraw3 (root:root 0600)");
    let steps = help(&denied);
    for step in ["--udev-rules group", "groupadd --system fobd", "usermod --append --groups fobd alice"] {
        assert!(steps.contains(step), "{steps}");
    }
}

#[test]
fn what_is_done_already_is_not_advised_again() {
    let advice = |rules: &[&str], group_exists, in_group| {
        let me = Me { user: "alice".to_owned(), root: false, group_exists, in_group };
        let rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
        help(&Facts { rules, me, ..nitrokey_pro(Access::Denied) })
    };
    let ours = "/etc/udev/rules.d/70-fobd.rules";
    assert!(advice(&[ours], true, true).contains("plug it in again"));
    let one_step = advice(&[ours], true, false);
    assert!(one_step.starts_with("sudo usermod") && !one_step.contains(';'), "{one_step}");
    assert!(advice(&["/etc/udev/rules.d/71-fobd-desktop.rules"], true, true).contains("nobody sits"));
}

#[test]
fn a_node_that_root_alone_may_open_is_not_taken_for_well() {
    let me = Me { user: "root".to_owned(), root: true, ..Me::default() };
    let facts = Facts { me, ..nitrokey_pro(Access::Granted) };
    assert_eq!(codes(&facts), [(Verdict::Note, "node_root_only")]);
}

#[test]
fn who_has_a_node_open_is_told_and_a_server_of_ours_may() {
    let held_by = |name: &str| {
        let mut facts = nitrokey_pro(Access::Granted);
        facts.hid[0].holders.push((name.to_owned(), 4711));
        codes(&facts)
    };
    assert_eq!(held_by("fobd"), [(Verdict::Well, "hid_in_use")]);
    assert_eq!(held_by("nitrokey-app"), [(Verdict::Note, "hid_in_use")]);
}

#[test]
fn a_missing_node_and_a_missing_module_are_told_apart() {
    assert_eq!(codes(&nitrokey_pro(Access::Missing)), [(Verdict::Problem, "node_missing")]);
    let no_module = Facts { hid: Vec::new(), ..nitrokey_pro(Access::Granted) };
    assert_eq!(codes(&no_module), [(Verdict::Problem, "no_hidraw")]);
}

#[test]
fn an_interface_that_is_switched_off_says_what_switches_it_on() {
    // A YubiKey with FIDO only.
    let facts = with_readers(vec![key(0x1050, 0x0402, "YubiKey FIDO", &[HID])], Vec::new());
    let card = diagnose(&facts).into_iter().find(|found| found.what.contains("CCID")).unwrap();
    assert_eq!((card.verdict, card.code), (Verdict::Note, "interface_off"));
    assert!(card.help.unwrap().contains("ykman config usb --enable OATH"));
    // A Molto2 can switch nothing off.
    let facts = with_readers(vec![key(MOLTO2.0, MOLTO2.1, "TOKEN2 Molto2", &[])], Vec::new());
    assert_eq!(codes(&facts), [(Verdict::Problem, "interface_missing")]);
}

#[test]
fn a_card_key_is_well_if_its_reader_answers() {
    let facts = with_readers(vec![molto2()], vec![reader("TOKEN2 Molto2 [CCID Interface] 00 00", true)]);
    assert_eq!(codes(&facts), [(Verdict::Well, "card_ready")]);
    // Two keys, one reader: the other key has none.
    let both = vec![molto2(), UsbDevice { port: "1-3".to_owned(), ..molto2() }];
    let facts = with_readers(both, vec![reader("TOKEN2 Molto2 [CCID Interface] 00 00", true)]);
    assert_eq!(codes(&facts), [(Verdict::Well, "card_ready"), (Verdict::Problem, "no_reader")]);
}

#[test]
fn another_program_that_holds_the_reader_is_named_with_the_way_out() {
    let held = Reader { exclusive: true, ..reader("TOKEN2 Molto2 [CCID Interface] 00 00", true) };
    let mut facts = with_readers(vec![molto2()], vec![held]);
    facts.programs = vec![("scdaemon".to_owned(), 99)];
    assert_eq!(codes(&facts), [(Verdict::Problem, "exclusive")]);
    assert!(help(&facts).contains("gpgconf --kill scdaemon") && help(&facts).contains("disable-ccid"));
    // GnuPG's own CCID driver takes the interface away from pcscd altogether.
    facts.readers = Readers::Listed(Vec::new());
    assert_eq!(codes(&facts), [(Verdict::Problem, "no_reader")]);
    assert!(help(&facts).contains("scdaemon"));
    facts.programs.clear();
    assert!(help(&facts).contains("libccid"));
}

#[test]
fn pcscd_that_is_not_there_does_not_answer_or_refuses_is_said_once_with_its_own_advice() {
    let with = |readers: Readers, pcscd_socket, usb| Facts { usb, readers, pcscd_socket, ..Facts::default() };
    let silent = || Readers::Silent("SCARD_E_NO_SERVICE".to_owned());
    let two = vec![molto2(), molto2()];
    assert_eq!(codes(&with(silent(), false, two.clone())), [(Verdict::Problem, "pcscd_absent")]);
    assert!(help(&with(silent(), false, two)).contains("apt install pcscd"));
    assert_eq!(codes(&with(silent(), true, vec![molto2()])), [(Verdict::Problem, "pcscd_silent")]);
    // Nobody is known to need it.
    assert_eq!(codes(&with(silent(), false, Vec::new())), [(Verdict::Note, "pcscd_absent")]);
    let denied = with(Readers::Denied("SCARD_W_SECURITY_VIOLATION".to_owned()), true, vec![molto2()]);
    let facts = Facts { me: Me { user: "fobd".to_owned(), ..Me::default() }, ..denied };
    assert_eq!(codes(&facts), [(Verdict::Problem, "pcscd_denied")]);
    assert!(help(&facts).contains("subject.user == \"fobd\""), "{}", help(&facts));
}

#[test]
fn a_reader_without_a_card_is_a_note_and_a_mute_card_a_problem() {
    let nfc = "ACS ACR122U PICC Interface 00 00";
    assert_eq!(codes(&with_readers(vec![], vec![reader(nfc, false)])), [(Verdict::Note, "no_card")]);
    assert_eq!(codes(&with_readers(vec![], vec![reader(nfc, true)])), [(Verdict::Well, "card_ready")]);
    let mute = Reader { mute: true, ..reader(nfc, false) };
    assert_eq!(codes(&with_readers(vec![], vec![mute])), [(Verdict::Problem, "mute")]);
    assert_eq!(codes(&Facts::default()), [(Verdict::Note, "nothing_found")]);
}

#[test]
fn what_a_server_says_is_told_beside_it() {
    let rows = json!([
        {"id": "ykoath:1", "state": "ready"},
        {"id": "ykoath:2", "state": "ambiguous"},
        {"id": "nkpro:?3", "state": "failed", "error": "access to the token is denied"},
    ]);
    let list = json!({"rows": rows, "buses": [{"name": "pcsc", "error": "no service"}, {"name": "hid", "error": null}]});
    let facts = Facts { server: Server::Tells(list), ..Facts::default() };
    let expected = [
        (Verdict::Note, "server_bus"),
        (Verdict::Well, "server_sees"),
        (Verdict::Problem, "server_ambiguous"),
        (Verdict::Problem, "server_failed"),
    ];
    assert_eq!(codes(&facts), expected);
    let refused = Facts { server: Server::Refuses("not let in".to_owned()), ..Facts::default() };
    assert_eq!(codes(&refused), [(Verdict::Note, "server_refuses")]);
}

/// Makes a machine of files: a Nitrokey Pro with a node, somebody's keyboard, a program.
fn machine(root: &Path) {
    let file = |path: &str, content: &[u8]| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    for (port, vendor, product, name) in
        [("1-2", "20a0", "4108", "Nitrokey Pro"), ("1-3", "046d", "c31c", "Keyboard")]
    {
        let usb = format!("sys/bus/usb/devices/{port}");
        file(&format!("{usb}/idVendor"), format!("{vendor}\n").as_bytes());
        file(&format!("{usb}/idProduct"), format!("{product}\n").as_bytes());
        file(&format!("{usb}/product"), format!("{name}\n").as_bytes());
    }
    file("sys/bus/usb/devices/1-2:1.0/bInterfaceClass", b"0b\n");
    file("sys/bus/usb/devices/1-2:1.1/bInterfaceClass", b"03\n");
    let descriptors: [(&str, &str, &[u8]); 2] = [
        ("hidraw0", "0003:0000046D:0000C31C", &[0x05, 0x01, 0x09, 0x06, 0xA1, 0x01, 0xC0]),
        ("hidraw1", "0003:000020A0:00004108", &[0x06, 0x00, 0xFF, 0x09, 0x01, 0xA1, 0x01, 0xC0]),
    ];
    for (name, id, descriptor) in descriptors {
        file(&format!("sys/class/hidraw/{name}/device/uevent"), format!("HID_ID={id}\n").as_bytes());
        file(&format!("sys/class/hidraw/{name}/device/report_descriptor"), descriptor);
    }
    file("dev/hidraw1", b"");
    fs::set_permissions(root.join("dev/hidraw1"), fs::Permissions::from_mode(0o660)).unwrap();
    file("proc/77/comm", b"scdaemon\n");
    file("proc/78/comm", b"bash\n");
    fs::create_dir_all(root.join("proc/78/fd")).unwrap();
    std::os::unix::fs::symlink("/dev/hidraw1", root.join("proc/78/fd/3")).unwrap();
    file(
        "proc/self/status",
        b"Name:\tfobd\nUid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\nGroups:\t27 990\n",
    );
    file("etc/passwd", b"root:x:0:0::/:\nalice:x:1000:1000::/:\n");
    file("etc/group", b"root:x:0:\nfobd:x:990:alice\n");
    file("etc/udev/rules.d/70-fobd.rules", b"");
    file("run/pcscd/pcscd.comm", b"");
}

#[test]
fn the_facts_of_a_machine_are_collected_from_its_files() {
    let folder = tempfile::tempdir().unwrap();
    machine(folder.path());
    let facts = Collector::below(folder.path()).collect();
    assert_eq!(facts.usb, [key(0x20A0, 0x4108, "Nitrokey Pro", &[CARD, HID])]);
    assert_eq!(facts.hid.len(), 1);
    let found = &facts.hid[0];
    assert_eq!(
        found.candidate,
        HidCandidate { path: "/dev/hidraw1".to_owned(), ..node(0x20A0, 0x4108, Access::Granted).candidate }
    );
    assert!(found.owner.ends_with(" 0660"), "{}", found.owner);
    assert_eq!(found.holders, [("bash".to_owned(), 78)]);
    assert_eq!(facts.programs, [("scdaemon".to_owned(), 77)]);
    let me = Me { user: "alice".to_owned(), root: false, group_exists: true, in_group: true };
    assert_eq!(facts.me, me);
    assert_eq!(facts.rules, ["/etc/udev/rules.d/70-fobd.rules"]);
    assert!(facts.pcscd_socket);
}

#[test]
fn an_empty_machine_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let facts = Collector::below(folder.path()).collect();
    assert!(facts.usb.is_empty() && facts.hid.is_empty() && facts.programs.is_empty());
    assert_eq!(codes(&facts), [(Verdict::Note, "nothing_found")]);
}

#[test]
fn the_report_is_a_line_and_advice_or_an_object_and_its_code_says_whether_all_is_well() {
    let folder = tempfile::tempdir().unwrap();
    machine(folder.path());
    let doctor = DoctorArgs { udev_rules: None, root: Some(folder.path().to_owned()) };
    let run = |as_json| {
        let mut out = Vec::new();
        let outcome = doctor.run(None, as_json, &mut out);
        (outcome, String::from_utf8(out).unwrap())
    };
    let (outcome, text) = run(false);
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(
        text,
        "note Nitrokey Pro (20a0:4108 at 1-2): HID: /dev/hidraw1 can be opened, and bash (78) has it open\n"
    );
    fs::remove_file(folder.path().join("dev/hidraw1")).unwrap();
    let (outcome, text) = run(true);
    assert_eq!(outcome, Outcome::Trouble);
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&told["well"], &told["findings"][0]["code"]), (&json!(false), &json!("node_missing")));
}

#[test]
fn the_rules_are_printed_as_they_are() {
    let doctor = DoctorArgs { udev_rules: Some(Whom::Seat), root: None };
    let mut out = Vec::new();
    assert_eq!(doctor.run(None, false, &mut out), Outcome::Done);
    assert_eq!(String::from_utf8(out).unwrap(), include_str!("../../../udev/71-fobd-desktop.rules"));
}
