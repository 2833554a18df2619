//! The test vectors of RFC 4226 and RFC 6238, for the server and for the oracle that other tests rely on.

use fobd::otp::algorithm::Algorithm;
use fobd::otp::hotp::Generator;
use fobd::otp::passcode::Digits;
use fobd::otp::secret::Secret;
use fobd::otp::time::Timestamp;
use fobd::otp::totp::TimeStep;
use proptest::prelude::*;

use crate::otp_oracle;

/// The rows of a file of vectors, cut at the commas.
fn rows(file: &str) -> Vec<Vec<&str>> {
    file.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(',').collect()).collect()
}

fn generator(secret: &[u8], algorithm: Algorithm, digits: u8) -> Generator {
    Generator::new(&Secret::new(secret.to_vec()).unwrap(), algorithm, Digits::new(digits).unwrap())
}

#[test]
fn hotp_gives_the_values_of_rfc_4226_appendix_d() {
    let rows = rows(include_str!("vectors/hotp.csv"));
    assert_eq!(rows.len(), 10);
    let secret = b"12345678901234567890";
    for row in rows {
        let counter = row[0].parse().unwrap();
        assert_eq!(generator(secret, Algorithm::Sha1, 6).at(counter).as_str(), row[1], "counter {counter}");
        assert_eq!(otp_oracle::passcode(secret, Algorithm::Sha1, 6, counter), row[1], "counter {counter}");
    }
}

#[test]
fn totp_gives_the_values_of_rfc_6238_appendix_b() {
    let rows = rows(include_str!("vectors/totp.csv"));
    assert_eq!(rows.len(), 18);
    for row in rows {
        let algorithm = Algorithm::parse(row[3]).unwrap();
        let length = match algorithm {
            Algorithm::Sha1 => 20,
            Algorithm::Sha256 => 32,
            Algorithm::Sha512 => 64,
        };
        let secret: Vec<u8> = b"1234567890".iter().copied().cycle().take(length).collect();
        let step = TimeStep::SECONDS_30.step_at(Timestamp::from_secs(row[0].parse().unwrap()));
        assert_eq!(step, u64::from_str_radix(row[1], 16).unwrap(), "{row:?}");
        assert_eq!(generator(&secret, algorithm, 8).at(step).as_str(), row[2], "{row:?}");
        assert_eq!(otp_oracle::passcode(&secret, algorithm, 8, step), row[2], "{row:?}");
    }
}

proptest! {
    #[test]
    fn the_generator_agrees_with_the_oracle(
        secret in prop::collection::vec(any::<u8>(), 1..=128),
        algorithm in prop::sample::select(&[Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512][..]),
        digits in 6..=10_u8,
        factor in prop_oneof![0..20_u64, any::<u64>(), u64::MAX - 20..=u64::MAX],
    ) {
        let expected = otp_oracle::passcode(&secret, algorithm, digits.into(), factor);
        let generator = generator(&secret, algorithm, digits);
        let twice = [generator.at(factor), generator.at(factor)].map(|passcode| passcode.as_str().to_owned());
        prop_assert_eq!(twice, [expected.clone(), expected], "the midstates are not used up");
    }
}
