//! Frames as Yubico's clients send them, byte for byte.

use super::*;
use crate::card::{Human, Waits};
use crate::hid::{Transfer, VirtualHid};
use crate::ykotp::slots::OtpSlots;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn device(firmware: Firmware, serial: u32) -> (VirtualHid, Flash) {
    let flash = Flash::new(OtpSlots::new(firmware, serial));
    let hid = VirtualHid::new(face(&firmware, 0x0407, "YubiKey"), Box::new(OtpChip::new(flash.clone())));
    hid.power_on();
    (hid, flash)
}

/// Plays reports: `W` lines are written, `R` lines must be read.
fn play(hid: &VirtualHid, script: &str) {
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.split_at(1) {
            ("W", report) => assert_eq!(hid.set_feature(&hex(report), Waits::Virtual), Transfer::Done(())),
            (_, report) => {
                assert_eq!(hid.get_feature(Waits::Virtual), Transfer::Done(hex(report)), "{line}");
            }
        }
    }
}

const HOTP: &str = "W 00 00 00 00 00 00 00 80
    W 00 00 37 38 39 30 00 82
    W 00 31 32 33 34 35 36 83
    W 37 38 39 30 31 32 33 84
    W 34 35 36 00 00 00 00 85
    W 00 00 00 34 60 40 00 86
    W 00 5f c0 00 00 00 00 87
    W 00 01 95 56 00 00 00 89
    R 00 00 00 00 00 00 00 89
    R 00 05 04 03 01 05 00 00";

const CHALLENGE: &str = "W 53 61 6d 70 6c 65 20 80
    W 23 32 00 00 00 00 00 81
    W 00 38 f8 2a 00 00 00 89
    R 00 00 00 00 00 00 00 89";

const RESPONSE: &str = "R 09 22 d3 40 5f aa 3d 40
    R 19 4f 82 a4 58 30 73 41
    R 7d 5c c6 c7 5d 24 e4 42
    R d4 00 00 00 00 00 00 43
    R 00 00 00 00 00 00 00 40";

/// Slot 2 with the key 30 to 43; `cfg` and the sum are those of a client.
fn write_hmac(hid: &VirtualHid, flags: &str, sum: &str) {
    play(
        hid,
        &format!(
            "W 00 00 00 00 00 00 00 80
            W 00 00 40 41 42 43 00 82
            W 00 30 31 32 33 34 35 83
            W 36 37 38 39 3a 3b 3c 84
            W 3d 3e 3f 00 00 00 00 85
            W 00 00 00 {flags} 00 86
            W 00 {sum} 00 00 00 00 87
            W 00 03 95 56 00 00 00 89
            R 00 00 00 00 00 00 00 89"
        ),
    );
}

#[test]
fn the_serial_is_read_as_yubikit_reads_it() {
    let (hid, _) = device(Firmware::YUBIKEY_5_4_3, 11_032_475);
    play(
        &hid,
        "R 00 05 04 03 00 00 00 00
        W 00 00 00 00 00 00 00 80
        R 00 00 00 00 00 00 00 80
        R 00 05 04 03 00 00 00 00
        W 00 10 6b 5b 00 00 00 89
        R 00 00 00 00 00 00 00 89
        R 00 a8 57 9b 6e 81 00 40
        R 00 00 00 00 00 00 00 40
        W 00 00 00 00 00 00 00 ff
        R 00 05 04 03 00 00 00 00",
    );
}

#[test]
fn an_hotp_slot_is_written_as_yubikit_writes_it() {
    let (hid, flash) = device(Firmware::YUBIKEY_5_4_3, 1);
    play(&hid, HOTP);
    assert_eq!(flash.open().read_hotp(1).as_deref(), Some("755224"));
    play(
        &hid,
        "W e1 63 11 22 90 83 00 80
        W 00 00 37 38 39 30 00 82
        W 10 31 32 33 34 35 36 83
        W 37 38 39 30 31 32 33 84
        W 34 35 36 00 00 00 00 85
        W 00 00 06 34 60 42 00 86
        W 00 9e 36 00 00 00 00 87
        W 00 03 95 56 00 00 00 89
        R 00 00 00 00 00 00 00 89
        R 00 05 04 03 02 0f 00 00",
    );
    let slot = flash.open().slot(2).unwrap().clone();
    assert_eq!((slot.counter, slot.config.identifier().as_str()), (256, "ubhe11229083"));
}

#[test]
fn slots_are_updated_swapped_and_deleted_as_yubikit_does() {
    let (hid, flash) = device(Firmware::YUBIKEY_5_4_3, 1);
    play(&hid, HOTP);
    play(
        &hid,
        "W 00 00 00 00 00 00 00 80
        W 00 06 6b 5b 00 00 00 89
        R 00 00 00 00 00 00 00 89
        R 00 05 04 03 02 0a 00 00
        W 00 00 00 00 00 00 00 80
        W 00 00 10 34 00 00 00 86
        W 00 64 f4 00 00 00 00 87
        W 00 05 95 56 00 00 00 89
        R 00 00 00 00 00 00 00 89
        R 00 05 04 03 03 0a 00 00",
    );
    assert_eq!(flash.open().press(2).as_deref().map(keys::text).as_deref(), Some("755224"), "without Enter");
    play(
        &hid,
        "W 00 00 00 00 00 00 00 80
        W 00 03 6b 5b 00 00 00 89
        R 00 00 00 00 00 00 00 89
        R 00 05 04 03 00 00 00 00",
    );
}

#[test]
fn a_challenge_is_answered_in_slices_and_only_once() {
    for (flags, sum) in [("24 40 26", "09 21"), ("04 40 26", "98 41")] {
        let (hid, _) = device(Firmware::YUBIKEY_5_4_3, 1);
        write_hmac(&hid, flags, sum);
        play(&hid, CHALLENGE);
        play(&hid, RESPONSE);
        play(&hid, "W 00 00 00 00 00 00 00 8f\nR 00 05 04 03 01 02 00 00");
    }
}

#[test]
fn an_answer_is_gone_after_a_second() {
    let (hid, _) = device(Firmware::YUBIKEY_5_4_3, 1);
    write_hmac(&hid, "24 40 26", "09 21");
    play(&hid, CHALLENGE);
    play(&hid, "R 09 22 d3 40 5f aa 3d 40");
    hid.pause(Duration::from_millis(1001), Waits::Virtual);
    play(&hid, "R 00 05 04 03 01 02 00 00");
}

#[test]
fn a_touch_is_counted_down_and_an_abort_ends_the_wait() {
    let (hid, flash) = device(Firmware::YUBIKEY_5_4_3, 1);
    write_hmac(&hid, "24 40 26", "09 21");
    if let Some(slot) = flash.open().slot_mut(2) {
        slot.config.cfg |= 0x08;
    }
    hid.set_human(Human::TouchesAfter(Duration::from_secs(2)));
    play(&hid, CHALLENGE);
    play(&hid, "R 00 00 00 00 00 00 00 2f");
    hid.pause(Duration::from_millis(1500), Waits::Virtual);
    play(&hid, "R 00 00 00 00 00 00 00 2d");
    hid.pause(Duration::from_millis(500), Waits::Virtual);
    play(&hid, RESPONSE);

    hid.set_human(Human::NeverTouches);
    play(&hid, CHALLENGE);
    play(&hid, "R 00 00 00 00 00 00 00 2f\nW 00 00 00 00 00 00 00 8f\nR 00 05 04 03 01 0a 00 00");
    play(&hid, CHALLENGE);
    hid.pause(Duration::from_secs(15), Waits::Virtual);
    play(&hid, "R 00 05 04 03 01 0a 00 00");
    assert_eq!(hid.touch_requests(), 3);
}

#[test]
fn a_frame_with_a_wrong_sum_is_ignored() {
    let (hid, _) = device(Firmware::YUBIKEY_5_4_3, 1);
    play(
        &hid,
        "W 00 00 00 00 00 00 00 80
        W 00 10 6b 5c 00 00 00 89
        R 00 00 00 00 00 00 00 89
        R 00 05 04 03 00 00 00 00",
    );
    assert_eq!(hid.set_feature(&[0; 7], Waits::Virtual), Transfer::Stalled);
}

#[test]
fn a_neo_shows_what_was_written_by_card_after_the_next_command_only() {
    let (hid, flash) = device(Firmware::YUBIKEY_NEO_3_4_9, 1);
    flash.open().install(1, crate::yubikey::configuration(&crate::specimen::Stored::hotp(b"1", 0)));
    play(&hid, "R 00 03 04 09 00 00 00 00");
    let scan_map: String = (0..8)
        .map(|seq| {
            let bytes = if seq < 7 { "63".repeat(7) } else { format!("6363{}", "00".repeat(5)) };
            format!("W {bytes} 8{seq}\n")
        })
        .collect();
    let mut payload = [0; 64];
    payload[..51].fill(b'c');
    let [low, high] = crc16(&payload).to_le_bytes();
    play(&hid, &scan_map);
    play(&hid, &format!("W 00 12 {low:02x} {high:02x} 00 00 00 89\nR 00 00 00 00 00 00 00 89"));
    play(&hid, "R 00 03 04 09 01 05 00 00");
}

#[test]
fn after_a_use_of_the_card_commands_are_swallowed_for_a_while() {
    use crate::yubikey::{Model, YubiKey};
    let key = YubiKey::new(Model::YUBIKEY_5_4_3, 1);
    key.set_reclaim_time(Duration::from_secs(3));
    let (hid, card) = (key.hid().unwrap(), key.card().unwrap());
    hid.power_on();
    card.power_on();
    card.exchange(&[0, 0xA4, 4, 0], Waits::Virtual);
    let ask = "W 00 00 00 00 00 00 00 80\nW 00 10 6b 5b 00 00 00 89";
    play(hid, ask);
    play(hid, "R 00 05 04 03 00 00 00 00");
    hid.pause(Duration::from_secs(3), Waits::Virtual);
    play(hid, ask);
    play(hid, "R 00 00 00 00 00 00 00 89\nR 00 00 00 01 57 ed 00 40");
}
