//! A split block Bloom filter, as the Parquet format defines it: it says of a name that it is certainly new, or may be known.

use super::hash::NameHash;

/// For each word of a block, an odd number that chooses one of its bits.
const SALTS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];
/// Of 256 bits a block: twelve bits for each name, so that it errs about one of 200 new names.
const NAMES_PER_BLOCK: usize = 21;

/// See the module's head.
#[derive(Debug, Clone)]
pub struct NameFilter(Vec<[u32; 8]>);

impl NameFilter {
    /// An empty filter for `names`.
    pub fn of_size(names: usize) -> Self {
        Self(vec![[0; 8]; names / NAMES_PER_BLOCK + 1])
    }

    /// Adds a name.
    pub fn insert(&mut self, hash: NameHash) {
        let block = self.block(hash);
        for (word, bit) in self.0[block].iter_mut().zip(bits(hash)) {
            *word |= bit;
        }
    }

    /// Whether the name may have been added.
    pub fn may_contain(&self, hash: NameHash) -> bool {
        self.0[self.block(hash)].iter().zip(bits(hash)).all(|(word, bit)| word & bit != 0)
    }

    fn block(&self, hash: NameHash) -> usize {
        // The upper 64 bits, scaled to the number of blocks.
        let upper = hash.0 >> 64;
        usize::try_from((upper * self.0.len() as u128) >> 64).unwrap_or(0)
    }
}

fn bits(hash: NameHash) -> impl Iterator<Item = u32> {
    let [.., a, b, c, d] = hash.0.to_be_bytes();
    let lower = u32::from_be_bytes([a, b, c, d]);
    SALTS.into_iter().map(move |salt| 1 << (lower.wrapping_mul(salt) >> 27))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TenantId;
    use crate::storage::dedup::NameKind;

    fn hash(number: usize) -> NameHash {
        NameHash::of(TenantId(1), NameKind::Id, &number.to_string())
    }

    #[test]
    fn what_was_added_may_be_there_and_little_else() {
        let names = 20_000;
        let mut filter = NameFilter::of_size(names);
        assert!(!filter.may_contain(hash(0)), "it is empty");
        (0..names).for_each(|number| filter.insert(hash(number)));
        assert!((0..names).all(|number| filter.may_contain(hash(number))));
        let wrong = (names..11 * names).filter(|number| filter.may_contain(hash(*number))).count();
        assert!(wrong < 10 * names / 100, "{wrong} of {}", 10 * names);
    }
}
