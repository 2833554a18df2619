//! Numbers of rows, for the metrics. Each comes from counters or from a bounded number of rows.

use super::{Reader, StoreError};

/// Most rows of stock that are told apart; the smallest ones beyond are told together.
const MOST_PRODUCTS: usize = 1000;
/// The product of those.
const OTHERS: &str = "(others)";
/// Jobs that are counted: the newest.
const MOST_JOBS: i64 = 100_000;

/// How many there are.
#[derive(Debug, PartialEq, Eq)]
pub struct Figures {
    /// Product (its two codes), status, number of tokens.
    pub tokens: Vec<(String, String, i64)>,
    /// State, number of jobs.
    pub jobs: Vec<(String, i64)>,
}

impl Reader<'_> {
    /// Counts all that there is, whoever asks.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub fn figures(&self) -> Result<Figures, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT p.manufacturer_code || '/' || p.product_code, c.status, sum(c.tokens)
             FROM token_counts c JOIN products p ON p.id = c.product_id
             WHERE c.import_id = 0 GROUP BY p.id, c.status ORDER BY 3 DESC, 1, 2",
        )?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let tokens = rows.collect::<Result<_, _>>()?;
        let mut select = self.connection.prepare_cached(
            "SELECT state, count(*) FROM (SELECT state FROM jobs ORDER BY id DESC LIMIT ?1) GROUP BY state",
        )?;
        let rows = select.query_map([MOST_JOBS], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let jobs = rows.collect::<Result<_, _>>()?;
        Ok(Figures { tokens: bounded(tokens), jobs })
    }
}

/// Puts what is beyond the first rows into one for each status.
fn bounded(mut rows: Vec<(String, String, i64)>) -> Vec<(String, String, i64)> {
    let beyond = rows.split_off(rows.len().min(MOST_PRODUCTS));
    let told_apart = rows.len();
    for (_, status, count) in beyond {
        match rows[told_apart..].iter_mut().find(|(_, known, _)| *known == status) {
            Some((_, _, sum)) => *sum += count,
            None => rows.push((OTHERS.to_owned(), status, count)),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_beyond_the_first_thousand_are_told_together() {
        let row = |number: usize| (format!("X/{number}"), ["ACTIVE", "DISABLED"][number % 2].to_owned(), 3);
        let few: Vec<_> = (0..MOST_PRODUCTS).map(row).collect();
        assert_eq!(bounded(few.clone()), few);
        let many = bounded((0..MOST_PRODUCTS + 5).map(row).collect());
        let rest: Vec<_> =
            many[MOST_PRODUCTS..].iter().map(|(name, status, sum)| (&**name, &**status, *sum)).collect();
        assert_eq!(
            (&many[..MOST_PRODUCTS], rest),
            (&*few, vec![(OTHERS, "ACTIVE", 9), (OTHERS, "DISABLED", 6)])
        );
    }
}
