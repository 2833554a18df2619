//! Which batches of a product have clocks that leave the curve of the others, and which single tokens do.
//!
//! Medians, so that a few broken fobs hide nothing and accuse nobody. Rates are in parts per billion and come from
//! tokens whose rate counts; a batch needs [`FEWEST`] of them to be judged or to judge others.

/// A batch with fewer rates says nothing.
pub const FEWEST: usize = 3;
/// Batches this near to the others are fine whatever their spread: twice what a change of weather does.
const NEAR_PPB: i64 = 10_000;
/// Single tokens this near to their product are fine.
const NEAR_ALONE_PPB: i64 = 25_000;
/// Beyond so many spreads of the others something else is going on.
const SPREADS: i64 = 4;

/// What was found of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Rates that count.
    pub tokens: usize,
    /// The middle one.
    pub median_ppb: i64,
    /// How far that is from the middle of all other batches; none if those say nothing.
    pub from_others_ppb: Option<i64>,
    /// Whether it leaves their curve.
    pub leaves: bool,
}

/// The middle of some rates, and how far half of them lie from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Curve {
    /// The middle one.
    pub median_ppb: i64,
    /// The middle of the distances from it, as a standard deviation.
    pub spread_ppb: i64,
}

impl Curve {
    /// The curve of these rates; none without any.
    #[must_use]
    pub fn of(rates: impl Iterator<Item = i32>) -> Option<Self> {
        let rates: Vec<i64> = rates.map(i64::from).collect();
        let median_ppb = median(rates.clone())?;
        let distance = median(rates.into_iter().map(|rate| (rate - median_ppb).abs()).collect())?;
        // Of what is spread normally, half lies within 0.6745 standard deviations.
        Some(Self { median_ppb, spread_ppb: distance * 14_826 / 10_000 })
    }

    /// Whether a single token leaves it.
    #[must_use]
    pub fn is_left_by(&self, rate_ppb: i32) -> bool {
        (i64::from(rate_ppb) - self.median_ppb).abs() > NEAR_ALONE_PPB.max(SPREADS * self.spread_ppb)
    }
}

/// Judges each batch by all others.
#[must_use]
pub fn judge(batches: &[Vec<i32>]) -> Vec<Judged> {
    let speaks = |batch: &Vec<i32>| batch.len() >= FEWEST;
    let one = |(index, batch): (usize, &Vec<i32>)| {
        let others = batches.iter().enumerate().filter(|(other, batch)| *other != index && speaks(batch));
        let others = Curve::of(others.flat_map(|(_, batch)| batch.iter().copied()));
        let median_ppb = median(batch.iter().copied().map(i64::from).collect()).unwrap_or(0);
        let from_others_ppb = others.filter(|_| speaks(batch)).map(|others| median_ppb - others.median_ppb);
        let allowed = others.map_or(0, |others| NEAR_PPB.max(SPREADS * others.spread_ppb));
        let leaves = from_others_ppb.is_some_and(|distance| distance.abs() > allowed);
        Judged { tokens: batch.len(), median_ppb, from_others_ppb, leaves }
    };
    batches.iter().enumerate().map(one).collect()
}

fn median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates around a middle, in ppb.
    fn batch(middle: i32, tokens: i32) -> Vec<i32> {
        (0..tokens).map(|n| middle + (n * 7_919) % 4_001 - 2_000).collect()
    }

    #[test]
    fn a_batch_that_leaves_the_curve_of_the_others_is_found_and_the_others_are_not() {
        let judged = judge(&[batch(3_000, 40), batch(1_000, 60), batch(45_000, 30), batch(-2_000, 50)]);
        let leaving: Vec<bool> = judged.iter().map(|batch| batch.leaves).collect();
        assert_eq!(leaving, [false, false, true, false], "{judged:?}");
        assert!(judged[2].from_others_ppb.unwrap() > 40_000);
        assert_eq!(judged[2].tokens, 30);
    }

    #[test]
    fn broken_fobs_neither_hide_a_batch_nor_accuse_one() {
        let mut good = batch(0, 20);
        good[3] = 100_000;
        good[7] = -100_000;
        let judged = judge(&[good.clone(), batch(2_000, 20)]);
        assert!(judged.iter().all(|batch| !batch.leaves), "{judged:?}");
        let curve = Curve::of(good.into_iter()).unwrap();
        assert!(curve.is_left_by(100_000) && !curve.is_left_by(2_000));
    }

    #[test]
    fn one_batch_or_a_handful_of_tokens_have_nothing_to_be_compared_with() {
        assert_eq!(judge(&[batch(60_000, 40)])[0].from_others_ppb, None);
        let judged = judge(&[batch(60_000, 2), batch(0, 40)]);
        assert!(judged.iter().all(|batch| !batch.leaves && batch.from_others_ppb.is_none()));
        assert_eq!(judge(&[]), []);
        assert_eq!(Curve::of(std::iter::empty()), None);
    }

    #[test]
    fn of_two_batches_that_differ_both_are_named_for_nobody_knows_which_is_right() {
        assert!(judge(&[batch(0, 10), batch(50_000, 10)]).iter().all(|batch| batch.leaves));
    }
}
