//! argon2id (RFC 9106) on memory that goes back to the system after each computation.
//!
//! An allocator keeps a block of 19 MiB for the next who wants one, that is for ever: half of what an idle server needs.
//! Blocks beyond a size it maps one by one and unmaps when they are freed. So room is taken for a block of that size;
//! what is never written to costs nothing.

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::password_hash::{self, CustomizedPasswordHasher, PasswordHasher};
use argon2::{Algorithm, Argon2, Block, Params, Version};

/// Room that is taken, in blocks of 1 KiB: glibc keeps blocks of up to 32 MiB.
const ROOM: usize = 40 * 1024;

/// Computes hashes.
pub(super) struct Argon2id(pub(super) Params);

impl CustomizedPasswordHasher<PasswordHash> for Argon2id {
    type Params = Params;

    fn hash_password_customized(
        &self,
        password: &[u8],
        salt: &[u8],
        algorithm: Option<&str>,
        version: Option<u32>,
        params: Params,
    ) -> password_hash::Result<PasswordHash> {
        let algorithm = algorithm.map_or(Ok(Algorithm::Argon2id), Algorithm::try_from)?;
        let version = version.map_or(Ok(Version::V0x13), Version::try_from)?;
        let mut memory = Vec::new();
        memory.try_reserve_exact(ROOM.max(params.block_count())).map_err(|_| argon2::Error::OutOfMemory)?;
        memory.resize(params.block_count(), Block::new());
        let mut output = vec![0; params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN)];
        Argon2::new(algorithm, version, params.clone()).hash_password_into_with_memory(
            password,
            salt,
            &mut output,
            &mut memory,
        )?;
        Ok(PasswordHash {
            algorithm: algorithm.ident(),
            version: Some(version.into()),
            params: ParamsString::try_from(&params)?,
            salt: Some(Salt::new(salt)?),
            hash: Some(Output::new(&output)?),
        })
    }
}

impl PasswordHasher<PasswordHash> for Argon2id {
    fn hash_password_with_salt(&self, password: &[u8], salt: &[u8]) -> password_hash::Result<PasswordHash> {
        self.hash_password_customized(password, salt, None, None, self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::PasswordVerifier as _;

    use super::*;

    #[test]
    fn the_library_says_yes_to_its_hashes_and_it_to_those_of_the_library() {
        let params = Params::new(64, 2, 1, None).unwrap();
        let library = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let ours = Argon2id(params);
        let made = ours.hash_password(b"correct horse").unwrap().to_string();
        assert!(library.verify_password(b"correct horse", made.as_str()).is_ok());
        assert!(library.verify_password(b"correct house", made.as_str()).is_err());
        let made = library.hash_password(b"correct horse").unwrap();
        assert!(ours.verify_password(b"correct horse", &made).is_ok());
        assert!(ours.verify_password(b"correct house", &made).is_err());
    }
}
