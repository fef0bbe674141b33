//! Keepa's price types: the index is the meaning, in `csv`, in every array of `stats`, in deals.

/// How many there are.
pub(super) const PRICE_TYPES: usize = 36;

pub(super) const AMAZON: usize = 0;
pub(super) const NEW: usize = 1;
pub(super) const USED: usize = 2;
pub(super) const SALES: usize = 3;
pub(super) const LISTPRICE: usize = 4;
pub(super) const NEW_FBM_SHIPPING: usize = 7;
pub(super) const NEW_FBA: usize = 10;
pub(super) const COUNT_NEW: usize = 11;
pub(super) const COUNT_USED: usize = 12;
pub(super) const EXTRA_INFO_UPDATES: usize = 15;
pub(super) const RATING: usize = 16;
pub(super) const COUNT_REVIEWS: usize = 17;
pub(super) const BUY_BOX_SHIPPING: usize = 18;
pub(super) const BUY_BOX_USED_SHIPPING: usize = 32;
pub(super) const COUNT_NEW_FBA: usize = 34;
pub(super) const COUNT_NEW_FBM: usize = 35;

/// As they are written in the product finder's filters, by index.
const NAMES: [&str; PRICE_TYPES] = [
    "AMAZON",
    "NEW",
    "USED",
    "SALES",
    "LISTPRICE",
    "COLLECTIBLE",
    "REFURBISHED",
    "NEW_FBM_SHIPPING",
    "LIGHTNING_DEAL",
    "WAREHOUSE",
    "NEW_FBA",
    "COUNT_NEW",
    "COUNT_USED",
    "COUNT_REFURBISHED",
    "COUNT_COLLECTIBLE",
    "EXTRA_INFO_UPDATES",
    "RATING",
    "COUNT_REVIEWS",
    "BUY_BOX_SHIPPING",
    "USED_NEW_SHIPPING",
    "USED_VERY_GOOD_SHIPPING",
    "USED_GOOD_SHIPPING",
    "USED_ACCEPTABLE_SHIPPING",
    "COLLECTIBLE_NEW_SHIPPING",
    "COLLECTIBLE_VERY_GOOD_SHIPPING",
    "COLLECTIBLE_GOOD_SHIPPING",
    "COLLECTIBLE_ACCEPTABLE_SHIPPING",
    "REFURBISHED_SHIPPING",
    "EBAY_NEW_SHIPPING",
    "EBAY_USED_SHIPPING",
    "TRADE_IN",
    "RENT",
    "BUY_BOX_USED_SHIPPING",
    "PRIME_EXCL",
    "COUNT_NEW_FBA",
    "COUNT_NEW_FBM",
];

pub(super) fn by_name(name: &str) -> Option<usize> {
    NAMES.iter().position(|known| *known == name)
}

/// Triples are `[time, price, shipping]`; everything else is `[time, value]`.
pub(super) fn is_triple(price_type: usize) -> bool {
    matches!(price_type, 7 | 18..=29 | 32)
}

/// Ranks, ratings and counts are no prices.
pub(super) fn is_price(price_type: usize) -> bool {
    !matches!(price_type, 3 | 11..=17 | 34 | 35)
}

/// What a deal can be asked for.
pub(super) fn is_deal_type(price_type: i64) -> bool {
    matches!(price_type, 0 | 1 | 2 | 3 | 5 | 6 | 7 | 8 | 9 | 10 | 18 | 19 | 20 | 21 | 22 | 32 | 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_at_their_indexes() {
        for (name, index) in [
            ("AMAZON", AMAZON),
            ("SALES", SALES),
            ("BUY_BOX_SHIPPING", BUY_BOX_SHIPPING),
            ("BUY_BOX_USED_SHIPPING", BUY_BOX_USED_SHIPPING),
            ("COUNT_NEW_FBM", COUNT_NEW_FBM),
        ] {
            assert_eq!(by_name(name), Some(index));
        }
        assert_eq!(by_name("BUY_BOX"), None);
    }

    #[test]
    fn triples_are_7_and_18_to_29_and_32() {
        let triples: Vec<usize> = (0..PRICE_TYPES).filter(|index| is_triple(*index)).collect();
        assert_eq!(triples, [7, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 32]);
        assert!(triples.iter().all(|index| is_price(*index)));
    }
}
