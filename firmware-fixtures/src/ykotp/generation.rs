//! What the OTP application of each firmware can do, as data.

/// What a firmware can do with its slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// First version that is like this.
    pub since: [u8; 3],
    /// How many slots there are.
    pub slots: usize,
    /// OATH-HOTP exists, and the status tells which slots are in use (2.1).
    pub hotp: bool,
    /// Challenge-response, the serial and an initial moving factor exist (2.2).
    pub challenges: bool,
    /// UPDATE and SWAP exist (2.3).
    pub updates: bool,
    /// The light can be inverted (2.4, 3.1).
    pub inverts_light: bool,
    /// The status tells which slots want a touch (3.0). SCAN MAP and DEVICE CONFIG came with it.
    pub touch_bits: bool,
    /// How many slots have an NDEF record (NEO, 5).
    pub ndef: usize,
    /// UPDATE changes the access code; 4.3.2 to 4.3.5 leave it (that they accept the rest is assumed).
    pub updates_code: bool,
    /// Device info can be read (4.1).
    pub device_info: bool,
    /// Device info can be written (5.0).
    pub writes_device_info: bool,
    /// FIPS mode can be asked for (4.4).
    pub fips: bool,
    /// Over HID the status is that of the last command over HID: it passes through another chip (NEO).
    pub keeps_hid_status: bool,
    /// Over the card interface the touch level stays as it was when the applet was selected (5.0.0 to 5.4.2; that
    /// selecting it again is enough is assumed).
    pub keeps_touch_level: bool,
}

const FIRST: Generation = Generation {
    since: [1, 0, 0],
    slots: 1,
    hotp: false,
    challenges: false,
    updates: false,
    inverts_light: false,
    touch_bits: false,
    ndef: 0,
    updates_code: true,
    device_info: false,
    writes_device_info: false,
    fips: false,
    keeps_hid_status: false,
    keeps_touch_level: false,
};
const V2_0: Generation = Generation { since: [2, 0, 0], slots: 2, ..FIRST };
const V2_1: Generation = Generation { since: [2, 1, 0], hotp: true, ..V2_0 };
const V2_2: Generation = Generation { since: [2, 2, 0], challenges: true, ..V2_1 };
const V2_3: Generation = Generation { since: [2, 3, 0], updates: true, ..V2_2 };
const V2_4: Generation = Generation { since: [2, 4, 0], inverts_light: true, ..V2_3 };
const V3_0: Generation = Generation {
    since: [3, 0, 0],
    inverts_light: false,
    touch_bits: true,
    ndef: 2,
    keeps_hid_status: true,
    ..V2_4
};
const V3_1: Generation = Generation { since: [3, 1, 0], inverts_light: true, ..V3_0 };
const V4_0: Generation = Generation { since: [4, 0, 0], ndef: 0, keeps_hid_status: false, ..V3_1 };
const V4_1: Generation = Generation { since: [4, 1, 0], device_info: true, ..V4_0 };
const V4_3_2: Generation = Generation { since: [4, 3, 2], updates_code: false, ..V4_1 };
const V4_3_6: Generation = Generation { since: [4, 3, 6], updates_code: true, ..V4_3_2 };
const V4_4: Generation = Generation { since: [4, 4, 0], fips: true, ..V4_3_6 };
const V5_0: Generation = Generation {
    since: [5, 0, 0],
    fips: false,
    ndef: 2,
    writes_device_info: true,
    keeps_touch_level: true,
    ..V4_4
};
const V5_4_3: Generation = Generation { since: [5, 4, 3], keeps_touch_level: false, ..V5_0 };

/// Every generation, oldest first.
pub const GENERATIONS: [Generation; 15] =
    [FIRST, V2_0, V2_1, V2_2, V2_3, V2_4, V3_0, V3_1, V4_0, V4_1, V4_3_2, V4_3_6, V4_4, V5_0, V5_4_3];

impl Generation {
    /// The generation of a firmware version.
    #[must_use]
    pub fn of(version: [u8; 3]) -> Self {
        GENERATIONS.into_iter().rev().find(|row| row.since <= version).unwrap_or(FIRST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_stand_in_order_and_end_where_the_next_begins() {
        assert!(GENERATIONS.windows(2).all(|pair| pair[0].since < pair[1].since));
        for (version, since) in [
            ([1, 3, 0], [1, 0, 0]),
            ([2, 2, 9], [2, 2, 0]),
            ([3, 4, 9], [3, 1, 0]),
            ([4, 3, 5], [4, 3, 2]),
            ([4, 3, 7], [4, 3, 6]),
            ([5, 4, 2], [5, 0, 0]),
            ([5, 7, 1], [5, 4, 3]),
        ] {
            assert_eq!(Generation::of(version).since, since, "{version:?}");
        }
    }
}
