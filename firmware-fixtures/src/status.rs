//! Status words (ISO/IEC 7816-4:2005 §5.1.3) that the emulated applets answer with.

/// The two bytes at the end of every response APDU, as one big-endian number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(pub u16);

impl Status {
    /// Normal processing.
    pub const OK: Self = Self(0x9000);
    /// Wrong length.
    pub const WRONG_LENGTH: Self = Self(0x6700);
    /// Command chaining not supported.
    pub const NO_COMMAND_CHAINING: Self = Self(0x6884);
    /// Security status not satisfied: locked, not touched in time, or a challenge that went backwards.
    pub const SECURITY: Self = Self(0x6982);
    /// Referenced data not usable; YKOATH uses it for "no such credential" and for a mismatch in SET CODE.
    pub const NO_SUCH_OBJECT: Self = Self(0x6984);
    /// Conditions of use not satisfied.
    pub const CONDITIONS: Self = Self(0x6985);
    /// Incorrect parameters in the data field.
    pub const WRONG_DATA: Self = Self(0x6A80);
    /// File or application not found.
    pub const NOT_FOUND: Self = Self(0x6A82);
    /// Not enough memory space.
    pub const NO_SPACE: Self = Self(0x6A84);
    /// Incorrect parameters P1-P2.
    pub const WRONG_P1_P2: Self = Self(0x6A86);
    /// Wrong parameters P1-P2, the older word for it.
    pub const WRONG_PARAMETERS: Self = Self(0x6B00);
    /// Instruction code not supported or invalid.
    pub const WRONG_INS: Self = Self(0x6D00);
    /// Class not supported.
    pub const WRONG_CLA: Self = Self(0x6E00);

    /// SW1 and SW2.
    #[must_use]
    pub fn bytes(self) -> [u8; 2] {
        self.0.to_be_bytes()
    }
}
