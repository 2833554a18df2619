//! What the emulated device takes for random: reproducible, so that a failing test fails again.

use std::collections::VecDeque;

use sha2::{Digest, Sha256};

/// A stream of 8-byte values, different for each seed.
#[derive(Debug)]
pub(crate) struct Entropy {
    seed: u64,
    drawn: u64,
    scripted: VecDeque<[u8; 8]>,
}

impl Entropy {
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self { seed, drawn: 0, scripted: VecDeque::new() }
    }

    /// Gives these values first, for tests against published exchanges.
    #[cfg(test)]
    pub(crate) fn scripted(values: impl IntoIterator<Item = [u8; 8]>) -> Self {
        Self { scripted: values.into_iter().collect(), ..Self::from_seed(0) }
    }

    /// 16 bytes.
    pub(crate) fn block(&mut self) -> [u8; 16] {
        let mut block = [0; 16];
        for (byte, drawn) in block.iter_mut().zip(self.draw().into_iter().chain(self.draw())) {
            *byte = drawn;
        }
        block
    }

    pub(crate) fn draw(&mut self) -> [u8; 8] {
        if let Some(value) = self.scripted.pop_front() {
            return value;
        }
        self.drawn += 1;
        let digest = Sha256::new()
            .chain_update(self.seed.to_be_bytes())
            .chain_update(self.drawn.to_be_bytes())
            .finalize();
        digest.first_chunk().copied().unwrap_or_default()
    }
}
