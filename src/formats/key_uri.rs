//! Key URIs (`otpauth://`) and their QR codes: how a credential gets into an authenticator app.
//!
//! ```text
//! otpauth://totp/Issuer:account?secret=BASE32&issuer=Issuer&algorithm=SHA1&digits=6&period=30
//! otpauth://hotp/Issuer:account?secret=BASE32&issuer=Issuer&algorithm=SHA1&digits=6&counter=0
//! ```
//!
//! Everything is said, defaults too, for apps differ in theirs. The issuer stands twice, as its authors ask for. A
//! space is `%20`: apps show the `+` of HTML forms as a plus. Base32 is without padding.
//!
//! The QR code is black on white with the quiet zone of 4 modules that ISO/IEC 18004 asks for, 8 pixels a module, as
//! a PNG of 1 bit a pixel. URI and picture hold the secret: both are wiped on drop, and neither belongs in a log.
//!
//! Source: the "Key Uri Format" page of Google Authenticator; RFC 3986 §2 for the encoding.

use std::fmt::Write as _;

use qrcodegen::{QrCode, QrCodeEcc};
use zeroize::Zeroizing;

use crate::otp::credential::{Credential, Kind};

/// Width of the margin in modules (ISO/IEC 18004 §9.1).
const QUIET_ZONE: i32 = 4;

/// Width of a module in pixels. At 1 bit a pixel that is a byte.
const MODULE_PIXELS: u32 = 8;

/// Why there is no QR code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QrError {
    /// It holds at most 2953 bytes.
    #[error("the text is too long for a QR code")]
    TooLong,
    /// The picture could not be written.
    #[error("the picture of the QR code could not be made")]
    Png,
}

/// The key URI of a credential. `counter` is that of the next passcode, and of no account for TOTP.
///
/// A colon parts issuer and account, however it is encoded; in either of them it becomes an underscore. An empty
/// issuer is left out.
#[must_use]
pub fn key_uri(issuer: &str, account: &str, credential: &Credential, counter: u64) -> Zeroizing<String> {
    let alphabet = base32::Alphabet::Rfc4648 { padding: false };
    let secret = Zeroizing::new(base32::encode(alphabet, credential.secret.expose()));
    // Large enough from the start: a string that grows leaves copies behind.
    let capacity = 128 + 3 * (2 * issuer.len() + account.len()) + secret.len();
    let mut uri = Zeroizing::new(String::with_capacity(capacity));
    let kind = credential.parameters.kind;
    uri.push_str(match kind {
        Kind::Hotp => "otpauth://hotp/",
        Kind::Totp { .. } => "otpauth://totp/",
    });
    if !issuer.is_empty() {
        push_encoded(&mut uri, issuer);
        uri.push(':');
    }
    push_encoded(&mut uri, account);
    uri.push_str("?secret=");
    uri.push_str(&secret);
    if !issuer.is_empty() {
        uri.push_str("&issuer=");
        push_encoded(&mut uri, issuer);
    }
    let (algorithm, digits) = (credential.parameters.algorithm, credential.parameters.digits.get());
    // Writing to a string does not fail.
    let _ = write!(uri, "&algorithm={algorithm}&digits={digits}");
    let _ = match kind {
        Kind::Hotp => write!(uri, "&counter={counter}"),
        Kind::Totp { time_step } => write!(uri, "&period={}", time_step.as_secs()),
    };
    uri
}

/// Appends what may stand for itself anywhere in a URI, and the rest byte by byte (RFC 3986 §2.1, §2.3).
fn push_encoded(uri: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => uri.push(char::from(byte)),
            b':' => uri.push('_'),
            _ => {
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
}

/// The QR code of a text as a PNG.
///
/// Error correction is of level M (15 %), or better where that costs no size.
///
/// # Errors
/// [`QrError::TooLong`].
pub fn qr_png(text: &str) -> Result<Zeroizing<Vec<u8>>, QrError> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium)
        .or_else(|_| QrCode::encode_text(text, QrCodeEcc::Low))
        .map_err(|_| QrError::TooLong)?;
    let modules = -QUIET_ZONE..code.size() + QUIET_ZONE;
    let mut pixels =
        Zeroizing::new(Vec::with_capacity(modules.len() * modules.len() * MODULE_PIXELS as usize));
    for y in modules.clone() {
        for _ in 0..MODULE_PIXELS {
            // Outside the code, modules are light.
            pixels.extend(modules.clone().map(|x| if code.get_module(x, y) { 0x00 } else { 0xff }));
        }
    }
    let side = u32::try_from(modules.len()).map_err(|_| QrError::TooLong)? * MODULE_PIXELS;
    let mut picture = Zeroizing::new(Vec::with_capacity(pixels.len()));
    let mut encoder = png::Encoder::new(&mut *picture, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header().map_err(|_| QrError::Png)?;
    writer.write_image_data(&pixels).map_err(|_| QrError::Png)?;
    writer.finish().map_err(|_| QrError::Png)?;
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otp::algorithm::Algorithm;
    use crate::otp::credential::Parameters;
    use crate::otp::passcode::Digits;
    use crate::otp::secret::Secret;
    use crate::otp::totp::TimeStep;

    fn credential(parameters: Parameters) -> Credential {
        Credential { secret: Secret::new(b"12345678901234567890".to_vec()).unwrap(), parameters }
    }

    /// Reads a URI back: type, label and parameters in their order, decoded.
    fn parse(uri: &str) -> (String, String, Vec<(String, String)>) {
        let decode = |text: &str| {
            let mut bytes = Vec::new();
            let mut rest = text.as_bytes();
            while let [first, tail @ ..] = rest {
                let (byte, tail) = match (first, tail) {
                    (b'%', [high, low, tail @ ..]) => {
                        let hex = String::from_utf8(vec![*high, *low]).unwrap();
                        (u8::from_str_radix(&hex, 16).unwrap(), tail)
                    }
                    (b'%' | b'+', _) => panic!("{text}"),
                    _ => (*first, tail),
                };
                bytes.push(byte);
                rest = tail;
            }
            String::from_utf8(bytes).unwrap()
        };
        let (path, query) = uri.strip_prefix("otpauth://").unwrap().split_once('?').unwrap();
        let (kind, label) = path.split_once('/').unwrap();
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap());
        let pairs = pairs.map(|(name, value)| (name.to_owned(), decode(value))).collect();
        (kind.to_owned(), decode(label), pairs)
    }

    #[test]
    fn a_totp_credential_is_written_in_full() {
        assert_eq!(
            *key_uri("Example", "john.smith", &credential(Parameters::TOTP), 7),
            "otpauth://totp/Example:john.smith?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Example\
             &algorithm=SHA1&digits=6&period=30"
        );
        let kind = Kind::Totp { time_step: TimeStep::SECONDS_60 };
        let parameters = Parameters { kind, algorithm: Algorithm::Sha512, digits: Digits::EIGHT };
        let uri = key_uri("Example", "john.smith", &credential(parameters), 0);
        assert!(uri.ends_with("&algorithm=SHA512&digits=8&period=60"), "{}", *uri);
    }

    #[test]
    fn a_hotp_credential_has_a_counter() {
        assert_eq!(
            *key_uri("Example", "1001", &credential(Parameters::HOTP), u64::MAX),
            "otpauth://hotp/Example:1001?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Example\
             &algorithm=SHA1&digits=6&counter=18446744073709551615"
        );
    }

    #[test]
    fn any_issuer_and_account_read_back() {
        for (issuer, account) in [
            ("Example & Co.", "john smith"),
            ("Ex%61mple", "j+s@example.com/?#&="),
            ("Büro 東京", "acme\\zoë"),
            ("a\u{0}\"<>\n", "~-._"),
        ] {
            let uri = key_uri(issuer, account, &credential(Parameters::TOTP), 0);
            assert!(uri.bytes().all(|byte| byte.is_ascii_graphic()), "{}", *uri);
            let (kind, label, pairs) = parse(&uri);
            assert_eq!((kind.as_str(), label), ("totp", format!("{issuer}:{account}")));
            let expected = [
                ("secret", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"),
                ("issuer", issuer),
                ("algorithm", "SHA1"),
                ("digits", "6"),
                ("period", "30"),
            ];
            assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
    }

    #[test]
    fn a_colon_is_the_separators_alone_and_an_empty_issuer_is_left_out() {
        let (_, label, pairs) = parse(&key_uri("a:b", "c:d", &credential(Parameters::TOTP), 0));
        assert_eq!((label.as_str(), pairs[1].1.as_str()), ("a_b:c_d", "a_b"));
        let (_, label, pairs) = parse(&key_uri("", "c", &credential(Parameters::TOTP), 0));
        assert_eq!((label.as_str(), pairs[1].0.as_str()), ("c", "algorithm"));
    }

    #[test]
    fn base32_has_no_padding() {
        for length in 1..=128 {
            let secret = Secret::new((0..length).collect()).unwrap();
            let uri =
                key_uri("", "c", &Credential { secret: secret.clone(), parameters: Parameters::HOTP }, 0);
            let (_, _, pairs) = parse(&uri);
            assert!(!pairs[0].1.contains('='));
            assert_eq!(Secret::from_base32(&pairs[0].1), Ok(secret));
        }
    }

    #[test]
    fn the_uri_fits_in_the_place_made_for_it() {
        let kind = Kind::Totp { time_step: TimeStep::from_secs(u32::MAX).unwrap() };
        let parameters = Parameters { kind, algorithm: Algorithm::Sha256, digits: Digits::new(10).unwrap() };
        for parameters in [parameters, Parameters { kind: Kind::Hotp, ..parameters }] {
            let (issuer, account) = ("é".repeat(100), "é".repeat(50));
            let uri = key_uri(&issuer, &account, &credential(parameters), u64::MAX);
            assert_eq!(uri.capacity(), 128 + 3 * 500 + 32);
        }
    }

    #[test]
    fn the_picture_shows_the_code_with_its_quiet_zone() {
        let uri = key_uri("Example", "john.smith", &credential(Parameters::TOTP), 0);
        let code = QrCode::encode_text(&uri, QrCodeEcc::Medium).unwrap();
        let picture = qr_png(&uri).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&**picture)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Grayscale, png::BitDepth::One));
        let side = (code.size() + 8) * 8;
        assert_eq!((info.width, info.height), (side as u32, side as u32));
        for y in 0..side {
            for x in 0..side {
                let bit = pixels[y as usize * info.line_size + x as usize / 8] >> (7 - x % 8) & 1;
                assert_eq!(bit == 0, code.get_module(x / 8 - 4, y / 8 - 4), "{x}, {y}");
            }
        }
    }

    #[test]
    fn a_text_that_fits_no_code_is_an_error() {
        assert!(qr_png(&"x".repeat(2953)).is_ok());
        assert_eq!(qr_png(&"x".repeat(2954)), Err(QrError::TooLong));
        assert!(qr_png("").is_ok());
    }
}
