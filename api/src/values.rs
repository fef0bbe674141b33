//! Values as the API writes them: decimals, instants, marketplaces. Each says its schema and its JSON in one place.

use std::fmt;
use std::str::FromStr;

use poem_openapi::registry::MetaSchema;
use poem_openapi::types::{ParseError, ParseFromJSON, ParseResult, ToJSON};
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use serde_json::{Number, Value, json};
use shared::domain::{Marketplace, Money, Percentage, UnixMillis};

/// A JSON number with exactly the digits of the decimal: 49.90 stays `49.90`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(pub Decimal);

impl Amount {
    fn number(self) -> Number {
        // Decimals print as plain digits, which always is a JSON number.
        Number::from_str(&self.0.to_string()).unwrap_or_else(|_| Number::from(0))
    }

    /// At least two decimals: percentages.
    #[must_use]
    pub fn of_percent(percent: Decimal) -> Self {
        let mut percent = percent;
        if percent.scale() < 2 {
            percent.rescale(2);
        }
        Amount(percent)
    }
}

impl From<Money> for Amount {
    fn from(money: Money) -> Self {
        Amount(money.to_decimal())
    }
}

impl From<Percentage> for Amount {
    fn from(percentage: Percentage) -> Self {
        Amount(percentage.to_decimal())
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.number().serialize(serializer)
    }
}

/// An instant: RFC 3339, UTC, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub UnixMillis);

impl From<UnixMillis> for Instant {
    fn from(instant: UnixMillis) -> Self {
        Instant(instant)
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339())
    }
}

/// A marketplace's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Market(pub Marketplace);

impl Market {
    /// All codes, for schemas.
    #[must_use]
    pub fn codes() -> Vec<Value> {
        Marketplace::ALL.into_iter().map(|marketplace| json!(marketplace.code())).collect()
    }
}

impl From<Marketplace> for Market {
    fn from(marketplace: Marketplace) -> Self {
        Market(marketplace)
    }
}

impl fmt::Display for Market {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for Market {
    type Err = <Marketplace as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Market)
    }
}

impl Serialize for Market {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.code())
    }
}

/// What the document generator asks of a value that is one whole.
macro_rules! value_type {
    ($type:ty, $name:literal, $schema:expr) => {
        impl poem_openapi::types::Type for $type {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn schema_ref() -> poem_openapi::registry::MetaSchemaRef {
                poem_openapi::registry::MetaSchemaRef::Inline(Box::new($schema))
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }
    };
}
pub(crate) use value_type;

/// The API only writes these, so none is ever read.
macro_rules! written_value {
    ($type:ty, $name:literal, $schema:expr, |$value:ident| $json:expr) => {
        value_type!($type, $name, $schema);

        impl ToJSON for $type {
            fn to_json(&self) -> Option<Value> {
                let $value = self;
                Some($json)
            }
        }

        impl ParseFromJSON for $type {
            fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
                Err(ParseError::expected_type(value.unwrap_or_default()))
            }
        }
    };
}

written_value!(Amount, "amount", MetaSchema::new("number"), |amount| Value::Number(amount.number()));
written_value!(Instant, "instant", MetaSchema::new_with_format("string", "date-time"), |instant| json!(
    instant.0.to_rfc3339()
));
written_value!(
    Market,
    "market",
    MetaSchema {
        enum_items: Market::codes(),
        ..MetaSchema::new("string")
    },
    |market| json!(market.0.code())
);

/// A word out of a few.
macro_rules! word {
    ($(#[$docs:meta])* $type:ident, $name:literal, [$($word:expr),+ $(,)?]) => {
        $(#[$docs])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
        #[serde(transparent)]
        pub(crate) struct $type(pub(crate) &'static str);

        written_value!(
            $type,
            $name,
            MetaSchema {
                enum_items: vec![$(json!($word)),+],
                ..MetaSchema::new("string")
            },
            |word| json!(word.0)
        );
    };
}

word!(
    /// Whether a total is exact.
    Relation,
    "relation",
    ["eq", "gte"]
);
word!(
    /// Which price a price is.
    Kind,
    "price kind",
    ["buy_box", "new", "amazon"]
);
word!(
    /// Where statistics come from.
    StatisticsFrom,
    "statistics origin",
    ["keepa", "history"]
);
word!(
    /// Where exchange rates come from.
    RatesFrom,
    "rates origin",
    ["ecb", "shipped"]
);
word!(
    /// Why an opportunity is not active.
    Closed,
    "closed reason",
    ["gap", "price_gone", "stale", "rate", "config"]
);
word!(
    /// Why an opportunity may not be what it seems.
    TrapCode,
    "trap",
    [
        "ean_mismatch",
        "pack_size_mismatch",
        "variation_parent",
        "price_outlier",
        "amazon_back",
        "box_held_by_one",
        "often_out_of_stock",
        "order_quantity",
        "hazardous",
        "heat_sensitive",
        "map_price",
        "stale_leg",
        "offer_flood",
    ]
);
word!(
    /// State of a run.
    RunState,
    "run status",
    ["queued", "running", "succeeded", "failed"]
);
word!(
    /// What a rule tells of.
    EventName,
    "alert event",
    ["opened", "improved", "updated", "closed"]
);
word!(
    /// Who wrote a rule.
    RuleFrom,
    "rule origin",
    ["api", "file"]
);
word!(
    /// What a delivery is.
    DeliveryOf,
    "delivery kind",
    ["alert", "digest", "test"]
);
word!(
    /// How far a delivery is.
    DeliveryState,
    "delivery status",
    ["held", "digested", "waiting", "delivered", "failed"]
);
word!(
    /// State of a component or of the whole.
    Condition,
    "condition",
    ["up", "degraded", "down"]
);
word!(
    /// What a line does to the profit.
    LineEffect,
    "line effect",
    ["adds", "subtracts", "sum", "note"]
);
word!(
    /// Who says what a line rests on.
    LineOrigin,
    "line source",
    ["given", "observed", "profile", "keepa", "vat_table", "fee_table", "ecb", "shipped_rates", "default", "computed"]
);
word!(
    /// Position towards VAT.
    RegimeCode,
    "VAT regime",
    ["RC", "DOM", "LOST", "SMALL", "MARGIN", "IMPORT"]
);
word!(
    /// A currency's code (ISO 4217).
    CurrencyCode,
    "currency",
    ["EUR", "GBP", "USD", "CAD", "JPY", "INR", "MXN", "BRL"]
);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::domain::Currency;

    use super::*;

    #[test]
    fn amounts_keep_the_decimals_of_their_currency() {
        for (minor, currency, expected) in [
            (4799, Currency::EUR, "47.99"),
            (4990, Currency::EUR, "49.90"),
            (5000, Currency::GBP, "50.00"),
            (1, Currency::EUR, "0.01"),
            (-5, Currency::EUR, "-0.05"),
            (4990, Currency::JPY, "4990"),
            (i64::MAX, Currency::EUR, "92233720368547758.07"),
        ] {
            let amount = Amount::from(Money::new(minor, currency));
            assert_eq!(serde_json::to_string(&amount).unwrap(), expected);
            assert_eq!(serde_json::to_string(&amount.to_json()).unwrap(), expected);
        }
    }

    #[test]
    fn percentages_have_two_decimals_or_as_many_as_were_configured() {
        for (text, expected) in [("10", "10.00"), ("7.5", "7.50"), ("7.125", "7.125")] {
            assert_eq!(serde_json::to_string(&Amount::of_percent(text.parse().unwrap())).unwrap(), expected);
        }
        assert_eq!(serde_json::to_string(&Amount::from(Percentage(1459))).unwrap(), "14.59");
    }

    proptest! {
        #[test]
        fn no_amount_loses_a_digit(minor: i64) {
            let written = serde_json::to_string(&Amount::from(Money::new(minor, Currency::EUR))).unwrap();
            prop_assert_eq!(written.parse::<Decimal>().unwrap().mantissa(), i128::from(minor));
        }
    }
}
