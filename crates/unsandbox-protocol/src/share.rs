// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one rule by which a limited resource is shared: nobody ever gets all of it.

/// Whether a party may have `mine` of a resource of which `free` is left after that.
///
/// The limit is three times the rest: a party alone may have three quarters, the next one three quarters of the
/// rest, and so on. Something is always left, and as parties release their parts, the shares become equal.
pub fn within_share(mine: u64, free: u64) -> bool {
    mine <= free.saturating_mul(3)
}

/// The most of a resource that a party alone may have.
pub fn largest_share(all: u64) -> u64 {
    all - all.div_ceil(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_party_leaves_something_for_the_next() {
        let mut free: u64 = 4096;
        for share in [3072, 768, 192, 48, 12, 3, 0] {
            assert_eq!(largest_share(free), share);
            let mut mine = 0;
            while within_share(mine + 1, free - 1) {
                (mine, free) = (mine + 1, free - 1);
            }
            assert_eq!(mine, share);
            assert!(free > 0);
        }
    }
}
