//! Divides a step that fails: a row that always fails must not keep its neighbours.

use super::steps::STEP;

/// Rows that are still to be done, as the parts that are done at once.
pub(super) struct Parts<'a, T> {
    /// The next one is the last.
    left: Vec<&'a [T]>,
}

impl<'a, T> Parts<'a, T> {
    pub(super) fn of(rows: &'a [T]) -> Self {
        Self { left: rows.chunks(STEP).rev().collect() }
    }

    /// Takes the next part, which is not empty.
    pub(super) fn next(&mut self) -> Option<&'a [T]> {
        self.left.pop()
    }

    /// The halves of a part of two rows or more come next.
    pub(super) fn halve(&mut self, part: &'a [T]) {
        let (first, second) = part.split_at(part.len() / 2);
        self.left.extend([second, first]);
    }

    /// The rows of all parts that were not taken.
    pub(super) fn rest(self) -> impl Iterator<Item = &'a T> {
        self.left.into_iter().rev().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: how many rows there are, and which of them always fail; in how many parts they are tried.
    #[test]
    fn a_step_that_fails_is_halved_down_to_the_rows_that_fail() {
        for (rows, failing, tries) in [
            (STEP * 3, &[][..], 3),
            (1, &[0], 1),
            (2, &[1], 3),
            (STEP, &[0], 11),
            (STEP * 3 + 1, &[STEP * 3], 4),
            (8, &[0, 1, 2, 3, 4, 5, 6, 7], 15),
        ] {
            let all: Vec<usize> = (0..rows).collect();
            let (mut parts, mut tried) = (Parts::of(&all), 0);
            let (mut done, mut failed) = (Vec::<usize>::new(), Vec::<usize>::new());
            while let Some(part) = parts.next() {
                tried += 1;
                match part {
                    _ if !part.iter().any(|row| failing.contains(row)) => done.extend(part),
                    [row] => failed.push(*row),
                    _ => parts.halve(part),
                }
            }
            assert_eq!(failed, failing, "{rows}");
            assert_eq!(done.len() + failed.len(), rows, "{rows}");
            assert!(done.is_sorted(), "{rows}");
            assert_eq!(tried, tries, "{rows}");
        }
    }

    #[test]
    fn the_rest_is_what_was_not_taken() {
        let all: Vec<usize> = (0..STEP * 2).collect();
        let mut parts = Parts::of(&all);
        let first = parts.next().unwrap();
        parts.halve(first);
        assert_eq!(parts.next().unwrap().len(), STEP / 2);
        assert!(parts.rest().eq(&all[STEP / 2..]));
    }
}
