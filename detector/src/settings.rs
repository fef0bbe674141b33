//! [`Settings`]: what the detector evaluates by, with a version that orders evaluations. Pure.

use std::sync::Arc;

use rust_decimal::Decimal;
use shared::domain::listing::next_revision;
use shared::domain::profit::Seller;
use shared::domain::{Marketplace, Staleness, UnixMillis};
use shared::wire::state::{DetectorSettings, SellerDocument};

/// Threshold, age of legs and marketplaces, as the environment has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// `MIN_MARGIN_PERCENT`: a gap has to be above it.
    pub min_margin_percent: Decimal,
    /// `LEG_STALE_AFTER`: a price older than this is no leg, milliseconds.
    pub leg_stale_after_ms: i64,
    /// `MARKETS`: every ordered pair of them is a route.
    pub markets: Vec<Marketplace>,
    /// `SELLER_PROFILE`, `VAT_TABLE`, `FEE_TABLE`: for whom profits are computed.
    pub seller: Arc<Seller>,
}

/// The rules in force. All replicas go by those in the catalog; a process writes its own there when it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Grows with every change.
    pub version: i64,
    /// See [`Rules`].
    pub min_margin_percent: Decimal,
    /// See [`Rules`].
    pub leg_stale_after_ms: i64,
    /// See [`Rules`].
    pub markets: Vec<Marketplace>,
    /// See [`Rules`].
    pub seller: Arc<Seller>,
}

impl Settings {
    /// Rules under a version.
    #[must_use]
    pub fn new(rules: &Rules, version: i64) -> Self {
        Settings {
            version,
            min_margin_percent: rules.min_margin_percent,
            leg_stale_after_ms: rules.leg_stale_after_ms,
            markets: rules.markets.clone(),
            seller: Arc::clone(&rules.seller),
        }
    }

    /// For the rules of prices; the age at which products count as inactive plays no part in evaluating.
    #[must_use]
    pub fn staleness(&self) -> Staleness {
        Staleness {
            leg_millis: self.leg_stale_after_ms,
            ..Staleness::default()
        }
    }

    /// As stored; `None` where something of it cannot be read: an older version wrote no seller.
    #[must_use]
    pub fn from_wire(document: &DetectorSettings) -> Option<Self> {
        Some(Settings {
            version: document.version,
            min_margin_percent: document.min_margin_percent.parse().ok()?,
            leg_stale_after_ms: document.leg_stale_after_ms,
            markets: document.markets.clone(),
            seller: Arc::new(document.seller.as_ref()?.to_seller()?),
        })
    }

    /// To be stored.
    #[must_use]
    pub fn to_wire(&self) -> DetectorSettings {
        DetectorSettings {
            version: self.version,
            min_margin_percent: self.min_margin_percent.to_string(),
            leg_stale_after_ms: self.leg_stale_after_ms,
            markets: self.markets.clone(),
            seller: Some(SellerDocument::from(&*self.seller)),
        }
    }

    fn says(&self, rules: &Rules) -> bool {
        let sorted = |markets: &[Marketplace]| {
            let mut markets = markets.to_vec();
            markets.sort_unstable();
            markets
        };
        self.min_margin_percent == rules.min_margin_percent
            && self.leg_stale_after_ms == rules.leg_stale_after_ms
            && sorted(&self.markets) == sorted(&rules.markets)
            && self.seller == rules.seller
    }
}

/// What has to be stored for the rules to be in force; `None` if they are.
///
/// Versions grow like revisions, with the clock as their floor: they keep growing should the record be lost.
#[must_use]
pub fn put_in_force(rules: &Rules, stored: Option<&Settings>, now: UnixMillis) -> Option<Settings> {
    match stored {
        Some(stored) if stored.says(rules) => None,
        stored => Some(Settings::new(rules, next_revision(stored.map(|stored| stored.version), now))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(percent: &str, markets: &[Marketplace]) -> Rules {
        Rules {
            min_margin_percent: percent.parse().unwrap(),
            leg_stale_after_ms: 86_400_000,
            markets: markets.to_vec(),
            seller: Arc::default(),
        }
    }

    #[test]
    fn settings_get_a_new_version_only_when_they_change() {
        use Marketplace::{DE, IT};
        let first = put_in_force(&rules("10", &[DE, IT]), None, UnixMillis(5)).unwrap();
        assert_eq!(first.version, 5);
        for same in [rules("10", &[DE, IT]), rules("10.00", &[DE, IT]), rules("10", &[IT, DE])] {
            assert_eq!(put_in_force(&same, Some(&first), UnixMillis(9)), None);
        }
        assert_eq!(put_in_force(&rules("12", &[DE, IT]), Some(&first), UnixMillis(9)).unwrap().version, 9);
        // A clock that stepped back does not make versions fall.
        assert_eq!(put_in_force(&rules("12", &[DE, IT]), Some(&first), UnixMillis(1)).unwrap().version, 6);
    }

    #[test]
    fn another_seller_is_another_version_and_a_record_without_one_is_replaced() {
        let first = put_in_force(&rules("10", &[Marketplace::DE]), None, UnixMillis(5)).unwrap();
        let mut changed = rules("10", &[Marketplace::DE]);
        let mut seller = Seller::default();
        seller.profile.home = "UK".into();
        changed.seller = Arc::new(seller);
        assert_eq!(put_in_force(&changed, Some(&first), UnixMillis(9)).unwrap().version, 9);
        let older = DetectorSettings {
            seller: None,
            ..first.to_wire()
        };
        assert_eq!(Settings::from_wire(&older), None);
    }

    #[test]
    fn settings_survive_the_catalog() {
        let settings = Settings::new(&rules("7.5", &[Marketplace::UK, Marketplace::DE]), 3);
        assert_eq!(Settings::from_wire(&settings.to_wire()), Some(settings));
    }
}
