//! Paging by key, the same for both catalogs: where a page ended, and of which query it was one.
//!
//! A cursor holds the sort value and the id of the last item, so pages neither skip nor repeat what stays where it is,
//! however much is written in between. It is opaque to its users and refused by every other query.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::domain::listing::name_key;
use crate::domain::profit::Net;
use crate::domain::{Currency, Opportunity, Percentage, StoredProduct};
use crate::ports::catalog::{CatalogError, OpportunityQuery, OpportunitySort, ProductQuery, ProductSort, StateKind, StateQuery, StateRecord};

/// Pages are never longer than this, whatever is asked for.
pub(super) const MAX_PAGE: usize = 5_000;

/// Document ids are not longer than this, in bytes (Elasticsearch's bound).
const MAX_ID_BYTES: usize = 512;

/// Why no document can have this id, if so.
pub(super) fn refuse_id(id: &str) -> Option<String> {
    let possible = (1..=MAX_ID_BYTES).contains(&id.len());
    (!possible).then(|| format!("an id has 1 to {MAX_ID_BYTES} bytes, not {}", id.len()))
}

/// What an item is ordered by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum SortValue {
    /// It has none, and stands at the end whatever the direction.
    #[serde(rename = "none")]
    Missing,
    /// A time or an amount.
    #[serde(rename = "n")]
    Integer(i64),
    /// A name.
    #[serde(rename = "s")]
    Text(String),
}

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Sort value of the last item.
    pub(super) value: SortValue,
    /// Its id.
    pub(super) id: String,
}

#[derive(Serialize, Deserialize)]
struct Cursor {
    /// Fingerprint of the query.
    q: String,
    v: SortValue,
    id: String,
}

/// What all searches have in common.
pub(super) trait Paged {
    /// What tells this query from another: all but the page, and but what moves with the clock or with exchange rates.
    fn fingerprint(&self) -> String;

    /// Whether a sort value can be one of this query's.
    fn orders_by(&self, value: &SortValue) -> bool;

    /// The cursor given.
    fn cursor(&self) -> Option<&str>;

    /// At most this many items.
    fn limit(&self) -> usize;

    /// Where to go on.
    fn place(&self) -> Result<Option<Place>, CatalogError> {
        let Some(text) = self.cursor() else { return Ok(None) };
        let invalid = |reason: &str| CatalogError::InvalidCursor { reason: reason.into() };
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid("it is none that was handed out"))?;
        let cursor: Cursor = serde_json::from_slice(&bytes).map_err(|_| invalid("it is none that was handed out"))?;
        if cursor.q != self.fingerprint() {
            return Err(invalid("it belongs to another query"));
        }
        if !self.orders_by(&cursor.v) || cursor.id.len() > MAX_ID_BYTES {
            return Err(invalid("it is none that was handed out"));
        }
        Ok(Some(Place {
            value: cursor.v,
            id: cursor.id,
        }))
    }

    /// The cursor of a page that ends there.
    fn cursor_at(&self, place: Place) -> String {
        let cursor = Cursor {
            q: self.fingerprint(),
            v: place.value,
            id: place.id,
        };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor).expect("a cursor is a plain struct"))
    }

    /// How many items a page has at most.
    fn page_size(&self) -> usize {
        self.limit().min(MAX_PAGE)
    }

    /// Cuts what was found (one more than a page, if there is more) to a page; tells the cursor of the next.
    fn cut<T>(&self, found: &mut Vec<T>, place_of: impl Fn(&T) -> Place) -> Option<String> {
        let size = self.page_size();
        let has_more = found.len() > size;
        found.truncate(size);
        found.last().filter(|_| has_more).map(|last| self.cursor_at(place_of(last)))
    }
}

impl Paged for ProductQuery {
    fn fingerprint(&self) -> String {
        // Bounds are given in EUR and converted: in other currencies they move with the rates, in EUR they do not.
        let in_euros = self.price_bounds.keys().any(|marketplace| marketplace.currency() == Currency::EUR);
        let bounds: Vec<String> = self
            .price_bounds
            .iter()
            .map(|(marketplace, bounds)| {
                if in_euros && marketplace.currency() != Currency::EUR {
                    format!("{marketplace}")
                } else {
                    format!("{marketplace}{bounds:?}")
                }
            })
            .collect();
        let ProductQuery {
            text, market, brand, category, ..
        } = self;
        let (brand, category) = (brand.as_deref().map(name_key), category.as_deref().map(name_key));
        let active = self.active.map(|(wanted, _)| wanted);
        let sort = self.sort;
        hash(&format!("products {text:?} {market:?} {brand:?} {category:?} {active:?} {bounds:?} {sort:?}"))
    }

    fn orders_by(&self, value: &SortValue) -> bool {
        match self.sort.field {
            ProductSort::Asin => matches!(value, SortValue::Text(_)),
            ProductSort::Title => matches!(value, SortValue::Text(_) | SortValue::Missing),
            ProductSort::Score => matches!(value, SortValue::Integer(_) | SortValue::Missing),
            ProductSort::FirstSeen | ProductSort::LastUpdated => matches!(value, SortValue::Integer(_)),
        }
    }

    fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    fn limit(&self) -> usize {
        self.limit
    }
}

impl Paged for OpportunityQuery {
    fn fingerprint(&self) -> String {
        let OpportunityQuery {
            text,
            min_margin,
            min_profit,
            min_roi,
            min_buffer,
            min_confidence,
            trap,
            without_traps,
            source,
            target,
            asin,
            brand,
            category,
            ..
        } = self;
        let (brand, category) = (brand.as_deref().map(name_key), category.as_deref().map(name_key));
        let active = self.active.map(|(wanted, _)| wanted);
        let sort = self.sort;
        hash(&format!(
            "opportunities {text:?} {min_margin:?} {min_profit:?} {min_roi:?} {min_buffer:?} {min_confidence:?} {trap:?} {without_traps:?} {source:?} {target:?} {asin:?} {brand:?} {category:?} {active:?} {sort:?}"
        ))
    }

    fn orders_by(&self, value: &SortValue) -> bool {
        match self.sort.field {
            OpportunitySort::Asin => matches!(value, SortValue::Text(_)),
            OpportunitySort::Title => matches!(value, SortValue::Text(_) | SortValue::Missing),
            OpportunitySort::Profit | OpportunitySort::Roi | OpportunitySort::Buffer | OpportunitySort::Score | OpportunitySort::Confidence => {
                matches!(value, SortValue::Integer(_) | SortValue::Missing)
            }
            OpportunitySort::MarginPercentage
            | OpportunitySort::Margin
            | OpportunitySort::SourcePriceEur
            | OpportunitySort::TargetPriceEur
            | OpportunitySort::OldestLeg
            | OpportunitySort::LastSeen => matches!(value, SortValue::Integer(_)),
        }
    }

    fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    fn limit(&self) -> usize {
        self.limit
    }
}

/// A list of one collection.
pub(super) struct StateList<'a> {
    pub(super) kind: StateKind,
    pub(super) query: &'a StateQuery,
}

impl Paged for StateList<'_> {
    fn fingerprint(&self) -> String {
        let StateQuery { group, status, ascending, .. } = self.query;
        hash(&format!("{} {group:?} {status:?} {ascending}", self.kind.collection()))
    }

    fn orders_by(&self, value: &SortValue) -> bool {
        matches!(value, SortValue::Integer(_))
    }

    fn cursor(&self) -> Option<&str> {
        self.query.cursor.as_deref()
    }

    fn limit(&self) -> usize {
        self.query.limit
    }
}

/// Where a product stands in an order.
pub(super) fn place_of_product(stored: &StoredProduct, sort: ProductSort) -> Place {
    let value = match sort {
        ProductSort::Asin => SortValue::Text(stored.product.asin.to_string()),
        ProductSort::Title => stored
            .listing
            .title
            .as_deref()
            .map_or(SortValue::Missing, |title| SortValue::Text(name_key(title))),
        ProductSort::FirstSeen => SortValue::Integer(stored.product.first_seen.0),
        ProductSort::LastUpdated => SortValue::Integer(stored.product.last_updated.0),
        ProductSort::Score => stored.listing.score.map_or(SortValue::Missing, |score| SortValue::Integer(score.0)),
    };
    Place {
        value,
        id: stored.product.asin.to_string(),
    }
}

/// Where an opportunity stands in an order.
pub(super) fn place_of_opportunity<C>(opportunity: &Opportunity<C>, sort: OpportunitySort) -> Place {
    let net = opportunity.net.as_ref();
    let percentage = |of: fn(&Net<C>) -> Option<Percentage>| net.and_then(of).map_or(SortValue::Missing, |percentage| SortValue::Integer(percentage.0));
    let value = match sort {
        OpportunitySort::Profit => net.map_or(SortValue::Missing, |net| SortValue::Integer(net.profit.minor)),
        OpportunitySort::Roi => percentage(|net| net.roi),
        OpportunitySort::Buffer => percentage(|net| net.buffer),
        OpportunitySort::Score => {
            let score = opportunity.assessment.as_ref().and_then(|assessment| assessment.score);
            score.map_or(SortValue::Missing, |score| SortValue::Integer(score.value.0))
        }
        OpportunitySort::Confidence => {
            let confidence = opportunity.assessment.as_ref().map(|assessment| assessment.confidence);
            confidence.map_or(SortValue::Missing, |confidence| SortValue::Integer(confidence.0))
        }
        OpportunitySort::Title => opportunity
            .title
            .as_deref()
            .map_or(SortValue::Missing, |title| SortValue::Text(name_key(title))),
        OpportunitySort::OldestLeg => SortValue::Integer(opportunity.oldest_leg().0),
        OpportunitySort::MarginPercentage => SortValue::Integer(opportunity.margin_percentage.0),
        OpportunitySort::Margin => SortValue::Integer(opportunity.margin.minor),
        OpportunitySort::SourcePriceEur => SortValue::Integer(opportunity.source_price_eur.minor),
        OpportunitySort::TargetPriceEur => SortValue::Integer(opportunity.target_price_eur.minor),
        OpportunitySort::Asin => SortValue::Text(opportunity.id.asin.to_string()),
        OpportunitySort::LastSeen => SortValue::Integer(opportunity.last_seen.0),
    };
    Place {
        value,
        id: opportunity.id.to_string(),
    }
}

/// Where a state record stands in its list.
pub(super) fn place_of_state(record: &StateRecord) -> Place {
    Place {
        value: SortValue::Integer(record.at.0),
        id: record.id.clone(),
    }
}

/// FNV-1a, 64 bits: the same in every build, since cursors are stored and outlive processes.
fn hash(text: &str) -> String {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Marketplace, UnixMillis};
    use crate::ports::catalog::Sort;

    fn query() -> ProductQuery {
        ProductQuery {
            text: None,
            market: None,
            brand: None,
            category: None,
            active: Some((true, UnixMillis(1))),
            price_bounds: [(Marketplace::DE, (Some(100), None)), (Marketplace::UK, (Some(86), None))].into(),
            sort: Sort {
                field: ProductSort::Title,
                descending: false,
            },
            limit: 10,
            cursor: None,
        }
    }

    fn place() -> Place {
        Place {
            value: SortValue::Text("naïve \"title\"".into()),
            id: "B0D1XD1ZV3".into(),
        }
    }

    #[test]
    fn a_cursor_leads_to_where_the_page_ended() {
        let mut next = query();
        next.cursor = Some(query().cursor_at(place()));
        assert_eq!(next.place().expect("its own"), Some(place()));
    }

    #[test]
    fn a_cursor_stays_valid_while_the_clock_and_the_rates_move() {
        let mut next = query();
        next.cursor = Some(query().cursor_at(place()));
        next.active = Some((true, UnixMillis(2)));
        next.price_bounds.insert(Marketplace::UK, (Some(87), None));
        next.limit = 20;
        assert!(next.place().is_ok());
    }

    #[test]
    fn a_cursor_of_another_query_is_refused() {
        let changes: [fn(&mut ProductQuery); 5] = [
            |query| query.text = Some("x".into()),
            |query| query.active = Some((false, UnixMillis(1))),
            |query| query.sort.descending = true,
            |query| query.brand = Some("x".into()),
            |query| {
                query.price_bounds.insert(Marketplace::DE, (Some(101), None));
            },
        ];
        for change in changes {
            let mut next = query();
            next.cursor = Some(query().cursor_at(place()));
            change(&mut next);
            assert!(matches!(next.place(), Err(CatalogError::InvalidCursor { .. })), "{next:?}");
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let wrong_value = query().cursor_at(Place {
            value: SortValue::Integer(1),
            id: "x".into(),
        });
        for text in ["", "x", "ä", "e30", "bnVsbA", wrong_value.as_str()] {
            let mut next = query();
            next.cursor = Some(text.into());
            assert!(matches!(next.place(), Err(CatalogError::InvalidCursor { .. })), "{text:?}");
        }
    }
}
