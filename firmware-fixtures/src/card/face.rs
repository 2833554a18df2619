/// What a reader sees of a card, whatever its applets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Face {
    /// Name for command lines and test output, for example `yubikey-5.4.3`.
    pub model: &'static str,
    /// Answer to reset.
    pub atr: &'static [u8],
    /// Reader name as libccid makes it, without the numbers that pcscd appends.
    pub reader: &'static str,
    /// Whether it lies in the field of an NFC reader instead of being plugged in.
    pub contactless: bool,
    /// Bytes of a response that go out at once; what is longer is chained with 61xx.
    pub chunk: usize,
    /// Whether extended Lc and Le are understood.
    pub extended_length: bool,
}
