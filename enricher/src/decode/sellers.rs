//! Who held the buy box: from its history where the record has it, else from Keepa's own shares.

use std::borrow::Cow;
use std::collections::BTreeMap;

use compact_str::CompactString;
use rust_decimal::Decimal;
use shared::domain::history::{SellerShare, WINDOW_DAYS};
use shared::domain::money::round_half_up;
use shared::domain::price::MAX_SELLERS;
use shared::domain::{KeepaMinutes, Percentage};

use super::json::Wishes;
use super::scan::{Elements, Field, Json, Members, Scanner, Stop};

/// Amazon's ids of sellers are not longer.
const MAX_ID_CHARACTERS: usize = 32;

/// `["7569496","A3JWKAKR8XB7XF","7571000","-1",…]`: from each minute on a holder, `-1` nobody, `-2` somebody unknown.
/// Shares are of the time of the window in which a known seller held the box; none without such time.
pub(super) fn of_history(entries: Elements<'_>, last_update: KeepaMinutes, wishes: &Wishes) -> Option<Vec<SellerShare>> {
    let end = i64::from(last_update.0);
    let begin = end - WINDOW_DAYS * 24 * 60;
    let texts: Option<Vec<Cow<'_, str>>> = entries.map(|entry| wishes.text(Some(entry))).collect();
    let texts = texts.filter(|texts| !texts.is_empty() && texts.len().is_multiple_of(2))?;
    let mut minutes: BTreeMap<&str, i64> = BTreeMap::new();
    let mut points = texts.chunks_exact(2).map(|pair| pair[0].parse::<i64>().map(|from| (from, &*pair[1])));
    let mut next = points.next();
    while let Some(point) = next {
        let (from, holder) = point.ok()?;
        next = points.next();
        let to = match &next {
            Some(Ok((next, _))) => *next,
            Some(Err(_)) => return None,
            None => end,
        };
        let held = to.min(end).saturating_sub(from.max(begin));
        if held > 0 && is_seller(holder) {
            *minutes.entry(holder).or_default() += held;
        }
    }
    let all = Decimal::from(minutes.values().sum::<i64>());
    let shares = minutes.into_iter().filter_map(|(seller, held)| {
        let share = round_half_up((Decimal::from(held) * Decimal::ONE_HUNDRED).checked_div(all)?, 2);
        to_share(seller.into(), share)
    });
    let shares = in_order(shares.collect());
    (!shares.is_empty()).then_some(shares)
}

#[derive(Debug, Default)]
struct Share<'a> {
    percentage_won: Field<'a>,
}

impl<'a> Members<'a> for Share<'a> {
    fn member(&mut self, name: &str, scanner: &mut Scanner<'a>) -> Result<(), Stop> {
        match name {
            "percentageWon" => scanner.keep(&mut self.percentage_won),
            _ => scanner.pass_over(),
        }
    }
}

/// By seller; of one that stands twice, the last.
#[derive(Debug, Default)]
struct Sellers<'a>(BTreeMap<CompactString, Json<'a>>);

impl<'a> Members<'a> for Sellers<'a> {
    fn member(&mut self, name: &str, scanner: &mut Scanner<'a>) -> Result<(), Stop> {
        let share = scanner.member_value()?;
        self.0.insert(name.into(), share);
        Ok(())
    }
}

/// `stats.buyBoxStats`: a map from seller to the share of the interval.
pub(super) fn of_stats(field: Field<'_>, wishes: &Wishes) -> Vec<SellerShare> {
    let sellers: Sellers<'_> = wishes.object(field).unwrap_or_default();
    let shares = sellers.0.into_iter().filter(|(seller, _)| is_seller(seller)).filter_map(|(seller, share)| {
        let share: Share<'_> = wishes.object(Some(share))?;
        let percent = wishes
            .decimal(share.percentage_won)
            .filter(|percent| (Decimal::ZERO..=Decimal::ONE_HUNDRED).contains(percent))?;
        to_share(seller, round_half_up(percent, 2))
    });
    in_order(shares.collect())
}

fn is_seller(id: &str) -> bool {
    (1..=MAX_ID_CHARACTERS).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn to_share(seller_id: CompactString, mut percent: Decimal) -> Option<SellerShare> {
    percent.rescale(2);
    let share = Percentage(i64::try_from(percent.mantissa()).ok()?);
    (share.0 > 0).then_some(SellerShare { seller_id, share })
}

/// Greatest share first, ties by id, so that the same history makes the same bytes.
fn in_order(mut shares: Vec<SellerShare>) -> Vec<SellerShare> {
    shares.sort_unstable_by(|one, other| (other.share, &one.seller_id).cmp(&(one.share, &other.seller_id)));
    shares.truncate(MAX_SELLERS);
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(shares: &[SellerShare]) -> Vec<(&str, i64)> {
        shares.iter().map(|share| (share.seller_id.as_str(), share.share.0)).collect()
    }

    fn value(json: &str) -> Json<'_> {
        Scanner::new(json).only_value().expect("JSON")
    }

    #[test]
    fn the_history_of_holders_gives_shares_of_the_time_that_somebody_held_the_box() {
        let wishes = Wishes::default();
        // (history, expected): the window ends at minute 200000 and begins 129600 minutes before.
        let cases = [
            (r#"["100000","A1","150000","B2","175000","-1"]"#, Some(vec![("A1", 66_67), ("B2", 33_33)])),
            (r#"["1","A1","190000","-2","195000","A1"]"#, Some(vec![("A1", 10_000)])),
            (r#"["1","OLD1","70400","A1"]"#, Some(vec![("A1", 10_000)])),
            (r#"["100000","B2","150000","A1"]"#, Some(vec![("A1", 50_00), ("B2", 50_00)])),
            (r#"["100000","-1"]"#, None),
            (r#"["300000","A1"]"#, None),
            (r#"["100000","A1","x"]"#, None),
            (r#"["noon","A1"]"#, None),
            (r#"[100000,"A1"]"#, None),
            ("[]", None),
        ];
        for (json, expected) in cases {
            let found = of_history(value(json).elements().expect("an array"), KeepaMinutes(200_000), &wishes);
            assert_eq!(found.as_deref().map(shares), expected, "{json}");
        }
    }

    #[test]
    fn keepas_own_shares_are_taken_where_they_are_numbers_of_sellers() {
        let wishes = Wishes::default();
        let json = r#"{"A1":{"percentageWon":12.345,"isFBA":true},"B2":{"percentageWon":80},"":{"percentageWon":5},"C3":{"percentageWon":-1},"D4":{"percentageWon":0},"E5":7,"-2":{"percentageWon":3}}"#;
        let json = value(json);
        assert_eq!(shares(&of_stats(Some(json), &wishes)), [("B2", 80_00), ("A1", 12_35)]);
        assert_eq!(of_stats(None, &wishes), []);
    }

    #[test]
    fn no_more_sellers_are_kept_than_have_room() {
        let wishes = Wishes::default();
        let sellers: Vec<String> = (0..30).map(|number| format!(r#""S{number:02}":{{"percentageWon":{number}}}"#)).collect();
        let json = format!("{{{}}}", sellers.join(","));
        let json = value(&json);
        let kept = of_stats(Some(json), &wishes);
        assert_eq!((kept.len(), kept[0].seller_id.as_str()), (MAX_SELLERS, "S29"));
    }
}
