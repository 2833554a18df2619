//! What goes wrong with an emulated device, and at which exchange.
//!
//! A fault strikes once, at exchange number `at`, counted from 0 at the moment it was planned. So a test runs
//! an operation once to count its exchanges, then once per exchange and kind. A fault that was never reached
//! stays in [`crate::card::VirtualCard::faults_left`]: the sweep is then past the end of the operation.

use std::time::Duration;

/// One fault at one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which exchange, counted from 0 at the moment of planning.
    pub at: u64,
    /// What happens there.
    pub kind: FaultKind,
}

/// What happens to a command or to its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The token is pulled out before it executes the command.
    UnplugBefore,
    /// The token executes the command and is pulled out before the answer leaves it.
    UnplugAfter,
    /// Another program resets the card before the command is executed, so it is not.
    Reset,
    /// The command is not executed; this status comes back.
    Status(u16),
    /// The command is executed, but this status comes back and no data.
    StatusAfter(u16),
    /// The command is executed; only so many bytes of the answer arrive.
    Truncate(usize),
    /// The command is executed; bits of the answer flip, which ones the seed decides. At least one does.
    Garble {
        /// Decides which bits.
        seed: u64,
    },
    /// The command is executed after this time.
    Delay(Duration),
    /// The command is not executed and nothing ever comes back.
    Silence,
}

impl FaultKind {
    /// One of each kind, for sweeps.
    #[must_use]
    pub fn all() -> Vec<Self> {
        vec![
            Self::UnplugBefore,
            Self::UnplugAfter,
            Self::Reset,
            Self::Status(0x6F00),
            Self::StatusAfter(0x6F00),
            Self::Truncate(0),
            Self::Truncate(1),
            Self::Truncate(2),
            Self::Truncate(5),
            Self::Garble { seed: 1 },
            Self::Garble { seed: 2 },
            Self::Delay(Duration::from_secs(3)),
            Self::Silence,
        ]
    }
}

/// The faults that are still to come.
#[derive(Debug, Default)]
pub(crate) struct FaultPlan {
    armed: Vec<Fault>,
}

impl FaultPlan {
    /// Arms a fault; `exchanges` is the number of the next exchange.
    pub(crate) fn arm(&mut self, fault: Fault, exchanges: u64) {
        self.armed.push(Fault { at: exchanges.saturating_add(fault.at), ..fault });
    }

    /// Takes what strikes at this exchange. Of several, the one planned first.
    pub(crate) fn strike(&mut self, exchange: u64) -> Option<FaultKind> {
        let position = self.armed.iter().position(|fault| fault.at == exchange)?;
        Some(self.armed.remove(position).kind)
    }

    pub(crate) fn left(&self) -> usize {
        self.armed.len()
    }

    pub(crate) fn clear(&mut self) {
        self.armed.clear();
    }
}

/// Flips one bit in about every fourth byte, and one for certain.
pub(crate) fn garble(answer: &mut [u8], seed: u64) {
    // xorshift64: enough to be different for each seed.
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let sure = next() % answer.len().max(1) as u64;
    for (index, byte) in answer.iter_mut().enumerate() {
        let draw = next();
        if index as u64 == sure || draw & 0b11 == 0 {
            *byte ^= 1 << ((draw >> 8) & 0b111);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_once_and_counts_from_when_it_was_planned() {
        let mut plan = FaultPlan::default();
        plan.arm(Fault { at: 2, kind: FaultKind::Silence }, 10);
        let struck: Vec<_> = (10..14).map(|exchange| plan.strike(exchange)).collect();
        assert_eq!(struck, [None, None, Some(FaultKind::Silence), None]);
        assert_eq!(plan.left(), 0);
    }

    #[test]
    fn garbling_always_changes_something_and_the_same_for_the_same_seed() {
        for seed in 0..200 {
            for length in 1..40 {
                let (mut first, mut second) = (vec![0x5A; length], vec![0x5A; length]);
                garble(&mut first, seed);
                garble(&mut second, seed);
                assert_ne!(first, vec![0x5A; length], "seed {seed}, {length} bytes");
                assert_eq!(first, second);
            }
        }
        garble(&mut [], 1);
    }
}
