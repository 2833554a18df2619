//! What every driver must do with every firmware, whatever the wire: one suite, run in process here and behind a
//! real pcscd in `pcscd.rs`. Expected passcodes are those of RFC 4226 appendix D and RFC 6238 appendix B.

use std::time::Duration;

use firmware_fixtures::card::Human;
use firmware_fixtures::credential::Credential;
use firmware_fixtures::firmware::{Capacity, Firmware, Maker};
use fobd_drivers::error::{Error, SlotState};
use fobd_drivers::token::{
    Algorithm, FactorConfig, Kind, MovingFactor, SecretBytes, SlotConfig, SlotInfo, Unattended,
};

use crate::bench::{Bench, Watcher, calculate, error, hotp, kind, secret, slot, totp};

/// Time steps of the six times in RFC 6238 appendix B, and the passcodes there.
const RFC_6238: [(u64, [&str; 3]); 6] = [
    (0x1, ["94287082", "46119246", "90693936"]),
    (0x23523EC, ["07081804", "68084774", "25091201"]),
    (0x23523ED, ["14050471", "67062674", "99943326"]),
    (0x273EF07, ["89005924", "91819424", "93441116"]),
    (0x3F940AA, ["69279037", "90698825", "38618901"]),
    (0x27BC86AA, ["65353130", "77737706", "47863826"]),
];

/// RFC 4226 appendix D, counter 0 to 9.
const RFC_4226: [&str; 10] =
    ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512];

type Case = (&'static str, fn(&Bench));

/// Runs every case on one token, which is emptied before each.
pub(crate) fn conformance(bench: &Bench) {
    let cases: [Case; 15] = [
        ("tells what it is", tells_what_it_is),
        ("an empty token has no slots", an_empty_token_has_no_slots),
        ("counts as RFC 4226", counts_as_rfc_4226),
        ("computes every kind, hash and length", computes_every_kind_hash_and_length),
        ("refuses what it cannot do without an exchange", refuses_without_an_exchange),
        ("writing over a slot replaces it", writing_over_a_slot_replaces_it),
        ("an erased slot is empty", an_erased_slot_is_empty),
        ("a locked token opens to its code only", a_locked_token_opens_to_its_code_only),
        ("touch is asked for", touch_is_asked_for),
        ("a full token says so", a_full_token_says_so),
        ("long lists come whole", long_lists_come_whole),
        ("any UTF-8 is a name", any_utf_8_is_a_name),
        ("credentials of other programs keep apart", credentials_of_other_programs_keep_apart),
        ("secrets of any length compute alike", secrets_of_any_length_compute_alike),
        ("reset empties and unlocks", reset_empties_and_unlocks),
    ];
    for (name, case) in cases {
        println!("{}: {name}", bench.firmware.model);
        bench.open().reset(&Unattended).unwrap();
        bench.card.set_human(Human::TouchesAtOnce);
        case(bench);
    }
}

#[test]
fn firmware_with_quirks_conforms_in_process() {
    let old =
        Firmware { version: [4, 2, 6], oath_version: [4, 2, 6], sha512: false, ..Firmware::YUBIKEY_4_3_5 };
    conformance(&Bench::in_process(old).0);
    // Replies that come in many small parts, the first of SELECT included.
    conformance(&Bench::in_process(Firmware { chunk: 8, ..Firmware::YUBIKEY_5_4_3 }).0);
}

#[test]
fn every_firmware_conforms_in_process() {
    for firmware in yubikeys() {
        conformance(&Bench::in_process(firmware).0);
    }
}

/// The suite below is about `YubiKey`s. Other makers' tokens are in `makers.rs`, and in the suite for every driver.
pub(crate) fn yubikeys() -> Vec<Firmware> {
    let is_plain = |firmware: &Firmware| firmware.maker == Maker::Yubico && !firmware.quirks.needs_code;
    Firmware::ALL.into_iter().filter(is_plain).collect()
}

fn supported(bench: &Bench) -> Vec<Algorithm> {
    bench.open().info().capabilities.algorithms.clone()
}

fn tells_what_it_is(bench: &Bench) {
    let firmware = bench.firmware;
    let token = bench.open();
    let info = token.info();
    assert_eq!(info.maker, "Yubico");
    let model = match firmware.version {
        [3, ..] => "YubiKey NEO",
        [4, 4, _] => "YubiKey 4 FIPS",
        [4, ..] => "YubiKey 4",
        _ => "YubiKey 5 NFC",
    };
    assert_eq!(info.model, model);
    assert_eq!(info.serial, Some(bench.card.serial().to_string()));
    assert_eq!(info.firmware, firmware.version_text());
    assert!(!info.locked);
    let capabilities = &info.capabilities;
    assert_eq!(capabilities.algorithms.contains(&Algorithm::Sha512), firmware.sha512);
    assert_eq!(capabilities.touch, firmware.touch);
    assert_eq!(capabilities.digits, [6, 7, 8]);
    assert!(capabilities.hotp && capabilities.totp && capabilities.calculate);
    let max_slots = match firmware.capacity {
        Capacity::Credentials(most) => u16::try_from(most).ok(),
        Capacity::ListBytes(_) => None,
    };
    assert_eq!(capabilities.max_slots, max_slots);
}

fn an_empty_token_has_no_slots(bench: &Bench) {
    assert_eq!(bench.open().slots().unwrap(), []);
}

fn counts_as_rfc_4226(bench: &Bench) {
    let mut token = bench.open();
    token.program(&slot("Example:alice"), &hotp(0), &Unattended).unwrap();
    for passcode in RFC_4226 {
        assert_eq!(calculate(&mut *token, "Example:alice", MovingFactor::OnToken).unwrap(), passcode);
    }
    assert_eq!(bench.card.credential("Example:alice").unwrap().counter, 10);
}

fn computes_every_kind_hash_and_length(bench: &Bench) {
    let supported = supported(bench);
    let mut token = bench.open();
    for (column, algorithm) in ALGORITHMS.into_iter().enumerate().filter(|(_, a)| supported.contains(a)) {
        for digits in [6_u8, 7, 8] {
            let expected =
                |(step, row): (u64, [&str; 3])| (step, row[column][8 - usize::from(digits)..].to_owned());
            let config = |factor| SlotConfig { factor, algorithm, digits, ..hotp(0) };
            let with_secret = |factor| SlotConfig { secret: secret(algorithm), ..config(factor) };

            token
                .program(&slot("t"), &with_secret(FactorConfig::Totp { time_step: 30 }), &Unattended)
                .unwrap();
            for (step, passcode) in RFC_6238.map(expected) {
                let told = calculate(&mut *token, "t", MovingFactor::TimeStep(step)).unwrap();
                assert_eq!(told, passcode, "TOTP {algorithm:?} {digits} at {step}");
            }
            for (step, passcode) in RFC_6238.map(expected) {
                token
                    .program(&slot("h"), &with_secret(FactorConfig::Hotp { counter: step }), &Unattended)
                    .unwrap();
                let told = calculate(&mut *token, "h", MovingFactor::OnToken).unwrap();
                assert_eq!(told, passcode, "HOTP {algorithm:?} {digits} from {step}");
            }
            let told = token.slots().unwrap();
            let info = |name, kind, time_step| SlotInfo {
                slot: slot(name),
                in_use: true,
                kind: Some(kind),
                algorithm: Some(algorithm),
                digits: Some(digits),
                time_step,
                touch: Some(false),
            };
            assert_eq!(told, [info("t", Kind::Totp, Some(30)), info("h", Kind::Hotp, None)]);
        }
    }
}

fn refuses_without_an_exchange(bench: &Bench) {
    let firmware = bench.firmware;
    let mut token = bench.open();
    let mut refused = |name: &str, config: &SlotConfig| {
        let (exchanges, result) = bench.exchanges(|| token.program(&slot(name), config, &Unattended));
        let failure = error(result);
        assert_eq!((exchanges, failure.slot), (0, SlotState::Unchanged), "{failure}");
        failure.source.to_string()
    };
    assert_eq!(refused("", &hotp(0)), "slot: the name is empty");
    assert_eq!(
        refused(&"x".repeat(65), &hotp(0)),
        "slot: the name takes 65 bytes, the token has room for 64"
    );
    assert_eq!(
        refused(&"ü".repeat(32), &totp(60)),
        "slot: the name takes 67 bytes, the token has room for 64"
    );
    assert_eq!(refused("x", &hotp(1 << 32)), "counter: the token starts at 4294967295 at most");
    assert_eq!(refused("x", &totp(0)), "time_step: 0 seconds");
    for digits in [0, 5, 9, 10] {
        let refused = refused("x", &SlotConfig { digits, ..hotp(0) });
        assert_eq!(refused, "digits: the token makes passcodes of 6 to 8 digits");
    }
    assert_eq!(
        refused("x", &SlotConfig { secret: SecretBytes::new(Vec::new()), ..hotp(0) }),
        "secret: it is empty"
    );
    if !firmware.sha512 {
        let refused = refused("x", &SlotConfig { algorithm: Algorithm::Sha512, ..hotp(0) });
        assert!(refused.contains("cannot do this hash function"), "{refused}");
    }
    if !firmware.touch {
        let refused = refused("x", &SlotConfig { touch: true, ..hotp(0) });
        assert_eq!(refused, "this token cannot do touch: firmware 4.2.6 of a token that waits for it");
    }
    let numbered = fobd_drivers::token::SlotId::Index(1);
    let (exchanges, result) = bench.exchanges(|| token.erase(&numbered, &Unattended));
    assert_eq!(exchanges, 0);
    assert_eq!(error(result).to_string(), "slot: the slots of this token have names, not numbers");
    assert_eq!(bench.card.credentials(), []);
}

fn writing_over_a_slot_replaces_it(bench: &Bench) {
    let mut token = bench.open();
    let other = SlotConfig { secret: SecretBytes::new(b"another secret 12345".to_vec()), ..hotp(3) };
    for config in [&other, &hotp(7), &totp(30), &totp(60), &totp(90), &hotp(0), &totp(60)] {
        token.program(&slot("Acme:bob"), config, &Unattended).unwrap();
        let slots = token.slots().unwrap();
        assert_eq!(slots.len(), 1, "{config:?}: {slots:?}");
        assert_eq!((&slots[0].slot, slots[0].kind), (&slot("Acme:bob"), Some(kind(config))));
    }
    assert_eq!(calculate(&mut *token, "Acme:bob", MovingFactor::TimeStep(1)).unwrap(), "287082");
    let stored: Vec<_> = bench.card.credentials().iter().map(|c| c.name().into_owned()).collect();
    assert_eq!(stored, ["60/Acme:bob"]);
    // The same through a token that was opened afterwards.
    assert_eq!(calculate(&mut *bench.open(), "Acme:bob", MovingFactor::TimeStep(1)).unwrap(), "287082");
    assert_eq!(bench.open().slots().unwrap()[0].time_step, Some(60));
}

fn an_erased_slot_is_empty(bench: &Bench) {
    let mut token = bench.open();
    token.program(&slot("a"), &hotp(0), &Unattended).unwrap();
    token.program(&slot("b"), &totp(60), &Unattended).unwrap();
    token.erase(&slot("b"), &Unattended).unwrap();
    for token in [&mut *token, &mut *bench.open()] {
        for result in [
            token.erase(&slot("b"), &Unattended),
            calculate(token, "b", MovingFactor::TimeStep(1)).map(drop),
            calculate(token, "b", MovingFactor::OnToken).map(drop),
        ] {
            let failure = error(result);
            assert!(matches!(&failure, Error::SlotEmpty { slot } if slot == "b"), "{failure}");
        }
        assert_eq!(token.slots().unwrap().len(), 1);
    }
    assert_eq!(calculate(&mut *token, "a", MovingFactor::OnToken).unwrap(), "755224");
    let failure = error(calculate(&mut *token, "a", MovingFactor::TimeStep(1)));
    assert_eq!(failure.to_string(), "factor: an HOTP credential counts by itself");
}

fn a_locked_token_opens_to_its_code_only(bench: &Bench) {
    let code = |text: &str| SecretBytes::new(text.as_bytes().to_vec());
    let mut token = bench.open();
    token.program(&slot("a"), &hotp(0), &Unattended).unwrap();
    let (exchanges, empty) = bench.exchanges(|| token.set_lock_code(Some(&code(""))));
    assert_eq!(
        (exchanges, error(empty).to_string().as_str()),
        (0, "code: it is empty; no code at all removes it")
    );
    token.set_lock_code(Some(&code("pässwörd"))).unwrap();
    assert!(bench.card.access_key().is_some());
    assert!(token.info().locked);
    // Who set the code goes on working.
    assert_eq!(calculate(&mut *token, "a", MovingFactor::OnToken).unwrap(), "755224");

    let mut stranger = bench.open();
    assert!(stranger.info().locked);
    assert!(matches!(stranger.slots(), Err(Error::Locked)));
    assert!(matches!(stranger.set_lock_code(None), Err(Error::Locked)));
    assert!(matches!(stranger.erase(&slot("a"), &Unattended), Err(Error::Locked)));
    assert!(matches!(calculate(&mut *stranger, "a", MovingFactor::OnToken), Err(Error::Locked)));
    let failure = error(stranger.program(&slot("a"), &hotp(5), &Unattended));
    assert!(matches!((failure.slot, failure.source), (SlotState::Unchanged, Error::Locked)));

    assert!(matches!(stranger.unlock(&code("password")), Err(Error::WrongLockCode { .. })));
    assert!(matches!(stranger.slots(), Err(Error::Locked)), "a refused code is forgotten");
    stranger.unlock(&code("pässwörd")).unwrap();
    assert_eq!(stranger.slots().unwrap().len(), 1);
    assert_eq!(calculate(&mut *stranger, "a", MovingFactor::OnToken).unwrap(), "287082");
    assert!(matches!(bench.open().slots(), Err(Error::Locked)), "others find it locked meanwhile");

    // Changed by one, useless to the other.
    stranger.set_lock_code(Some(&code("next"))).unwrap();
    assert!(matches!(token.slots(), Err(Error::WrongLockCode { .. })));
    assert!(matches!(token.slots(), Err(Error::Locked)));
    token.unlock(&code("next")).unwrap();
    token.set_lock_code(None).unwrap();
    assert_eq!(bench.card.access_key(), None);
    assert!(!token.info().locked);
    assert_eq!(bench.open().slots().unwrap().len(), 1);
    // A token without a code takes any.
    token.unlock(&code("whatever")).unwrap();
    assert_eq!(token.slots().unwrap().len(), 1);
}

fn touch_is_asked_for(bench: &Bench) {
    if !bench.firmware.touch {
        return;
    }
    let mut token = bench.open();
    let touch = |config: SlotConfig| SlotConfig { touch: true, ..config };
    token.program(&slot("t"), &touch(totp(30)), &Unattended).unwrap();
    token.program(&slot("h"), &touch(hotp(0)), &Unattended).unwrap();
    token.program(&slot("free"), &totp(30), &Unattended).unwrap();
    let told: Vec<_> = token.slots().unwrap().iter().map(|slot| slot.touch).collect();
    assert_eq!(told, [Some(true), Some(true), Some(false)]);

    let cases = [
        ("t", MovingFactor::TimeStep(1), "287082", 1),
        ("h", MovingFactor::OnToken, "755224", 1),
        ("free", MovingFactor::TimeStep(1), "287082", 0),
    ];
    for (name, factor, passcode, prompts) in cases {
        let requests = bench.card.touch_requests();
        let watcher = Watcher::default();
        let told = token.calculate(&slot(name), factor, &watcher).unwrap();
        assert_eq!((told.expose(), watcher.prompts.get()), (passcode, prompts), "{name}");
        assert_eq!(bench.card.touch_requests() - requests, u64::from(prompts));
        // A token opened afresh finds out by itself.
        let watcher = Watcher::default();
        let _ = bench.open().calculate(&slot(name), factor, &watcher).unwrap();
        assert_eq!(watcher.prompts.get(), prompts, "{name}, opened afresh");
    }

    bench.card.set_touch_timeout(Duration::from_millis(100));
    bench.card.set_human(Human::NeverTouches);
    for (name, factor, ..) in &cases[..2] {
        let watcher = Watcher::default();
        let failure = error(token.calculate(&slot(name), *factor, &watcher));
        assert!(matches!(failure, Error::TouchTimedOut), "{name}: {failure}");
        assert_eq!(watcher.prompts.get(), 1);
    }
    assert_eq!(bench.card.credential("h").unwrap().counter, 2, "a missing touch uses nothing up");
}

fn a_full_token_says_so(bench: &Bench) {
    let (count, name) = match bench.firmware.capacity {
        Capacity::Credentials(most) => (most, 1),
        Capacity::ListBytes(most) => (most / (64 + 9), 61),
    };
    for number in 0..count {
        bench
            .card
            .install(Credential::totp(&format!("{number:03}{}", "x".repeat(name)), b"12345678901234567890"));
    }
    let mut token = bench.open();
    let before = bench.card.credentials();
    let one_too_many = "x".repeat(64);
    let failure = error(token.program(&slot(&one_too_many), &hotp(0), &Unattended));
    assert!(matches!(failure.source, Error::Full), "{failure}");
    assert_eq!(failure.slot, SlotState::Unchanged);
    assert_eq!(bench.card.credentials(), before);
    // There is room for what is there already.
    let first = format!("000{}", "x".repeat(name));
    token.program(&slot(&first), &hotp(0), &Unattended).unwrap();
    token.erase(&slot(&first), &Unattended).unwrap();
    token.program(&slot(&one_too_many), &hotp(0), &Unattended).unwrap();
    assert_eq!(token.slots().unwrap().len(), count);
}

fn long_lists_come_whole(bench: &Bench) {
    let names: Vec<String> =
        (0..25).map(|number| format!("Issuer {number}:{}", "a".repeat(40 + number % 3))).collect();
    for name in &names {
        bench.card.install(Credential::totp(name, b"12345678901234567890"));
    }
    let mut token = bench.open();
    let slots = token.slots().unwrap();
    let told: Vec<_> = slots.iter().map(|info| info.slot.to_string()).collect();
    assert_eq!(told, names);
    assert!(slots.iter().all(|info| info.digits == Some(6) && info.touch == Some(false)));
}

fn any_utf_8_is_a_name(bench: &Bench) {
    let mut token = bench.open();
    let longest = "語".repeat(21);
    for name in ["Zoë:zoë@exämple.org", "🔑", longest.as_str(), "a/b:c", "60/Acme:bob", " "] {
        for config in [hotp(0), totp(30), totp(45)] {
            if name == longest && config.factor == (FactorConfig::Totp { time_step: 45 }) {
                continue;
            }
            token.program(&slot(name), &config, &Unattended).unwrap();
            let slots = token.slots().unwrap();
            assert_eq!(slots.len(), 1);
            assert_eq!((&slots[0].slot, slots[0].kind), (&slot(name), Some(kind(&config))), "{config:?}");
        }
        token.erase(&slot(name), &Unattended).unwrap();
    }
}

fn credentials_of_other_programs_keep_apart(bench: &Bench) {
    bench.card.install(Credential::totp("bob", b"12345678901234567890"));
    bench.card.install(Credential::totp("60/bob", b"abcdefghijklmnopqrst"));
    bench.card.install(Credential::hotp("eve", b"12345678901234567890", 0));
    bench
        .card
        .install(Credential { name: vec![0xFF, 0x2F], ..Credential::totp("", b"12345678901234567890") });
    let mut token = bench.open();
    let told: Vec<_> =
        token.slots().unwrap().iter().map(|info| (info.slot.to_string(), info.time_step)).collect();
    let expected = [("bob", Some(30)), ("60/bob", Some(60)), ("eve", None), ("0xff2f", Some(30))];
    assert_eq!(told, expected.map(|(name, step)| (name.to_owned(), step)));
    assert_eq!(calculate(&mut *token, "bob", MovingFactor::TimeStep(1)).unwrap(), "287082");
    // One can be erased alone; writing the slot replaces all of it.
    token.erase(&slot("60/bob"), &Unattended).unwrap();
    bench.card.install(Credential::totp("60/bob", b"abcdefghijklmnopqrst"));
    token.program(&slot("bob"), &totp(90), &Unattended).unwrap();
    // What only looks like the same slot is left alone.
    bench.card.install(Credential::hotp("60/bob", b"12345678901234567890", 0));
    let before = bench.card.credentials();
    let failure = error(token.program(&slot("bob"), &totp(60), &Unattended));
    assert_eq!(failure.slot, SlotState::Unchanged);
    assert_eq!(failure.to_string(), "slot: another credential on this token goes by that name");
    assert_eq!(bench.card.credentials(), before);
    token.erase(&slot("60/bob"), &Unattended).unwrap();
    token.erase(&slot("0xff2f"), &Unattended).unwrap();
    let told: Vec<_> = token.slots().unwrap().iter().map(|info| info.slot.to_string()).collect();
    assert_eq!(told, ["eve", "bob"]);
}

fn secrets_of_any_length_compute_alike(bench: &Bench) {
    let mut token = bench.open();
    // Passcodes by Python's hmac: HOTP of counter 0.
    for (length, passcode) in [(1, "575999"), (13, "265811"), (64, "467634"), (65, "536468"), (200, "416522")]
    {
        let config = SlotConfig { secret: SecretBytes::new(vec![b'A'; length]), ..hotp(0) };
        token.program(&slot("a"), &config, &Unattended).unwrap();
        assert_eq!(calculate(&mut *token, "a", MovingFactor::OnToken).unwrap(), passcode, "{length} bytes");
    }
}

fn reset_empties_and_unlocks(bench: &Bench) {
    let mut token = bench.open();
    token.program(&slot("a"), &hotp(0), &Unattended).unwrap();
    token.set_lock_code(Some(&SecretBytes::new(b"code".to_vec()))).unwrap();
    let id = bench.card.oath_id();
    let mut stranger = bench.open();
    stranger.reset(&Unattended).unwrap();
    assert_ne!(bench.card.oath_id(), id);
    assert!(!stranger.info().locked);
    assert_eq!(stranger.slots().unwrap(), []);
    // The other one's code is not asked for any more.
    assert_eq!(token.slots().unwrap(), []);
}
