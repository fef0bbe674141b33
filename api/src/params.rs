//! Parameters: parsed once at the edge, each type with its schema. What does not parse is a 400 that names the parameter.

use std::collections::BTreeSet;
use std::sync::Arc;

use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaParamIn, MetaSchema, MetaSchemaRef};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::json;
use shared::domain::alert::RuleId;
use shared::domain::{Asin, Marketplace, OpportunityId, Percentage, TrapReason};
use shared::ports::catalog::{OpportunitySort, ProductSort, Sort};
use shared::wire::alert::DeliveryStatus;
use shared::wire::state::RunStatus;

use crate::error::Problem;
use crate::values::Market;

/// How many items a list has unless `limit` says otherwise.
pub(crate) const DEFAULT_LIMIT: usize = 50;
pub(crate) const MAX_LIMIT: usize = 500;
const MAX_TEXT: usize = 200;
const MAX_NAME: usize = 300;
const MAX_CURSOR: usize = 4_096;

/// A value that comes in the query string or in the path.
pub(crate) trait Parameter: Sized + Send + Sync {
    /// Its name where it is part of the path.
    const IN_PATH: &'static str = "";

    /// Its schema in the API's document.
    fn schema() -> MetaSchema;

    /// The value; the text is never empty. An error says what is expected.
    fn parse(text: &str) -> Result<Self, String>;
}

/// The request's query string, taken apart and checked by [`crate::operations`].
#[derive(Debug, Clone, Default)]
pub(crate) struct QueryValues(pub(crate) Arc<Vec<(String, String)>>);

/// A parameter in the query string; none is required.
pub(crate) struct Query<T>(pub(crate) Option<T>);

/// A parameter in the path. The document generator knows it by this type's name.
pub(crate) struct Path<T>(pub(crate) T);

impl<'a, T: Parameter> ApiExtractor<'a> for Query<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    type ParamType = ();
    type ParamRawType = ();

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Query)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(T::schema())))
    }

    async fn from_request(request: &'a Request, _body: &mut RequestBody, options: ExtractParamOptions<()>) -> poem::Result<Self> {
        let values = request.extensions().get::<QueryValues>();
        let text = values
            .and_then(|values| values.0.iter().find(|(name, _)| name == options.name))
            .map(|(_, value)| value);
        let value = text.map(|text| parse(options.name, text)).transpose()?;
        Ok(Query(value))
    }
}

impl<'a, T: Parameter> ApiExtractor<'a> for Path<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    const PARAM_IS_REQUIRED: bool = true;
    type ParamType = ();
    type ParamRawType = ();

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Path)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(T::schema())))
    }

    async fn from_request(request: &'a Request, _body: &mut RequestBody, options: ExtractParamOptions<()>) -> poem::Result<Self> {
        let text: String = request.raw_path_param(options.name).unwrap_or_default().into();
        Ok(Path(parse(T::IN_PATH, &text)?))
    }
}

fn parse<T: Parameter>(name: &str, text: &str) -> Result<T, Problem> {
    T::parse(text).map_err(|reason| Problem::parameter(name, reason))
}

/// What was given, short enough to be shown.
fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(40).collect::<String>())
}

fn text_schema(max_length: usize) -> MetaSchema {
    MetaSchema {
        min_length: Some(1),
        max_length: Some(max_length),
        ..MetaSchema::new("string")
    }
}

fn bounded_text(text: &str, max: usize) -> Result<String, String> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err("must not be blank".into()),
        length if length > max => Err(format!("must not be longer than {max} characters, and has {length}")),
        _ => Ok(text.into()),
    }
}

fn one_of(values: &[&str]) -> MetaSchema {
    MetaSchema {
        enum_items: values.iter().map(|value| json!(value)).collect(),
        ..MetaSchema::new("string")
    }
}

/// Words to search for.
#[derive(Debug, Clone)]
pub(crate) struct Words(pub(crate) String);

impl Parameter for Words {
    fn schema() -> MetaSchema {
        text_schema(MAX_TEXT)
    }

    fn parse(text: &str) -> Result<Self, String> {
        bounded_text(text, MAX_TEXT).map(Words)
    }
}

/// A brand, a category or a job.
#[derive(Debug, Clone)]
pub(crate) struct Name(pub(crate) String);

impl Parameter for Name {
    fn schema() -> MetaSchema {
        text_schema(MAX_NAME)
    }

    fn parse(text: &str) -> Result<Self, String> {
        bounded_text(text, MAX_NAME).map(Name)
    }
}

impl Parameter for Market {
    fn schema() -> MetaSchema {
        MetaSchema {
            enum_items: Market::codes(),
            ..MetaSchema::new("string")
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.parse::<Marketplace>().map(Market).map_err(|error| error.to_string())
    }
}

impl Parameter for Asin {
    const IN_PATH: &'static str = "asin";

    fn schema() -> MetaSchema {
        MetaSchema {
            pattern: Some("^[A-Za-z0-9]{10}$".into()),
            example: Some(json!("B0D1XD1ZV3")),
            ..MetaSchema::new("string")
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.parse::<Asin>().map_err(|error| error.to_string())
    }
}

impl Parameter for OpportunityId {
    const IN_PATH: &'static str = "id";

    fn schema() -> MetaSchema {
        MetaSchema {
            pattern: Some("^[A-Za-z0-9]{10}:[A-Za-z]{2}:[A-Za-z]{2}$".into()),
            example: Some(json!("B0D1XD1ZV3:ES:IT")),
            ..MetaSchema::new("string")
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.parse::<OpportunityId>().map_err(|error| error.to_string())
    }
}

impl Parameter for bool {
    fn schema() -> MetaSchema {
        MetaSchema::new("boolean")
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("true or false is expected, not {}", shown(text))),
        }
    }
}

/// Digits, with a sign where one is allowed, with a fraction if need be; no exponent, no separators.
fn plain_decimal(text: &str, signed: bool) -> Option<Decimal> {
    let digits = if signed { text.strip_prefix('-').unwrap_or(text) } else { text };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |part: &str, longest: usize| (1..=longest).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(whole, 9) && is_number(fraction, 6)).then(|| text.parse().ok()).flatten()
}

/// An amount in EUR that bounds prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Euros(pub(crate) Decimal);

impl Euros {
    /// The least whole number of cents that is not below.
    pub(crate) fn cents_at_least(self) -> i64 {
        whole(self.0 * Decimal::ONE_HUNDRED, RoundingStrategy::ToPositiveInfinity)
    }

    /// The greatest whole number of cents that is not above.
    pub(crate) fn cents_at_most(self) -> i64 {
        whole(self.0 * Decimal::ONE_HUNDRED, RoundingStrategy::ToNegativeInfinity)
    }
}

/// The parser bounds what comes here to eleven digits.
fn whole(value: Decimal, strategy: RoundingStrategy) -> i64 {
    i64::try_from(value.round_dp_with_strategy(0, strategy)).unwrap_or(i64::MAX)
}

impl Parameter for Euros {
    fn schema() -> MetaSchema {
        MetaSchema {
            minimum: Some(0.0),
            ..MetaSchema::new("number")
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        plain_decimal(text, false)
            .map(|euros| Euros(euros.normalize()))
            .ok_or_else(|| format!("an amount in EUR such as 49.90 is expected, not {}", shown(text)))
    }
}

/// A margin in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MinMargin(pub(crate) Decimal);

impl MinMargin {
    /// The least margin of two decimals that is not below.
    pub(crate) fn at_least(self) -> Percentage {
        Percentage(whole(self.0 * Decimal::ONE_HUNDRED, RoundingStrategy::ToPositiveInfinity))
    }
}

impl Parameter for MinMargin {
    fn schema() -> MetaSchema {
        MetaSchema::new("number")
    }

    fn parse(text: &str) -> Result<Self, String> {
        plain_decimal(text, true)
            .map(|percent| MinMargin(percent.normalize()))
            .ok_or_else(|| format!("a percentage such as 12.5 is expected, not {}", shown(text)))
    }
}

/// A profit in EUR, which may be a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MinProfit(pub(crate) Decimal);

impl MinProfit {
    /// The least number of whole cents that is not below.
    pub(crate) fn cents(self) -> i64 {
        whole(self.0 * Decimal::ONE_HUNDRED, RoundingStrategy::ToPositiveInfinity)
    }
}

impl Parameter for MinProfit {
    fn schema() -> MetaSchema {
        MetaSchema::new("number")
    }

    fn parse(text: &str) -> Result<Self, String> {
        plain_decimal(text, true)
            .map(|euros| MinProfit(euros.normalize()))
            .ok_or_else(|| format!("an amount in EUR such as 5 or -0.50 is expected, not {}", shown(text)))
    }
}

impl Parameter for TrapReason {
    fn schema() -> MetaSchema {
        one_of(&TrapReason::ALL.map(TrapReason::name))
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.parse::<TrapReason>().map_err(|error| error.to_string())
    }
}

/// Reasons to distrust an opportunity, between commas; in one order and each once, so that the same question is the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TrapReasons(pub(crate) Vec<TrapReason>);

impl Parameter for TrapReasons {
    fn schema() -> MetaSchema {
        let reason = TrapReason::ALL.map(TrapReason::name).join("|");
        MetaSchema {
            pattern: Some(format!("^(all|({reason})(,({reason}))*)$")),
            example: Some(json!("ean_mismatch,price_outlier")),
            ..MetaSchema::new("string")
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(TrapReasons(TrapReason::ALL.into()));
        }
        let reasons: Result<BTreeSet<TrapReason>, _> = text.split(',').map(str::parse).collect();
        reasons
            .map(|reasons| TrapReasons(reasons.into_iter().collect()))
            .map_err(|error| error.to_string())
    }
}

/// How many items a page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) usize);

impl Parameter for Limit {
    fn schema() -> MetaSchema {
        MetaSchema {
            minimum: Some(1.0),
            maximum: Some(500.0),
            default: Some(json!(DEFAULT_LIMIT)),
            ..MetaSchema::new_with_format("integer", "int32")
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let limit = digits.then(|| text.parse().ok()).flatten().filter(|limit| (1..=MAX_LIMIT).contains(limit));
        limit
            .map(Limit)
            .ok_or_else(|| format!("a whole number from 1 to {MAX_LIMIT} is expected, not {}", shown(text)))
    }
}

/// Where a page begins; what it holds is the catalog's business.
#[derive(Debug, Clone)]
pub(crate) struct Cursor(pub(crate) String);

impl Parameter for Cursor {
    fn schema() -> MetaSchema {
        text_schema(MAX_CURSOR)
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_CURSOR {
            return Err("it is none that was handed out".into());
        }
        Ok(Cursor(text.into()))
    }
}

impl Parameter for RunStatus {
    fn schema() -> MetaSchema {
        one_of(&["queued", "running", "succeeded", "failed"])
    }

    fn parse(text: &str) -> Result<Self, String> {
        [RunStatus::Queued, RunStatus::Running, RunStatus::Succeeded, RunStatus::Failed]
            .into_iter()
            .find(|status| status.name() == text)
            .ok_or_else(|| format!("queued, running, succeeded or failed is expected, not {}", shown(text)))
    }
}

impl Parameter for RuleId {
    const IN_PATH: &'static str = "id";

    fn schema() -> MetaSchema {
        MetaSchema {
            pattern: Some("^[a-z0-9_-]{1,64}$".into()),
            example: Some(json!("spain-to-italy")),
            ..MetaSchema::new("string")
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.parse::<RuleId>().map_err(|error| error.to_string())
    }
}

/// What a delivery is known by.
#[derive(Debug, Clone)]
pub(crate) struct DeliveryId(pub(crate) String);

impl Parameter for DeliveryId {
    const IN_PATH: &'static str = "id";

    fn schema() -> MetaSchema {
        MetaSchema {
            pattern: Some("^[A-Za-z0-9._-]{1,200}$".into()),
            example: Some(json!("spain-to-italy.B0D1XD1ZV3.ES.IT.7")),
            ..MetaSchema::new("string")
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        let fits = (1..=200).contains(&text.len()) && is_plain;
        fits.then(|| DeliveryId(text.to_owned()))
            .ok_or_else(|| format!("a delivery's id is expected, not {}", shown(text)))
    }
}

impl Parameter for DeliveryStatus {
    fn schema() -> MetaSchema {
        one_of(&DeliveryStatus::ALL.map(DeliveryStatus::name))
    }

    fn parse(text: &str) -> Result<Self, String> {
        DeliveryStatus::ALL.into_iter().find(|status| status.name() == text).ok_or_else(|| {
            let names = DeliveryStatus::ALL.map(DeliveryStatus::name).join(", ");
            format!("one of {names} is expected, not {}", shown(text))
        })
    }
}

/// A field to order by, `-` before it for descending.
fn parse_sort<F: Copy>(text: &str, fields: &[(&str, F)]) -> Result<Sort<F>, String> {
    let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
    let field = fields.iter().find(|(known, _)| *known == name);
    field.map(|(_, field)| Sort { field: *field, descending }).ok_or_else(|| {
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        format!("one of {}, with - before it for descending, is expected, not {}", names.join(", "), shown(text))
    })
}

fn sort_schema<F>(fields: &[(&str, F)], default: &str) -> MetaSchema {
    let names: Vec<String> = fields.iter().flat_map(|(name, _)| [(*name).to_owned(), format!("-{name}")]).collect();
    MetaSchema {
        default: Some(json!(default)),
        ..one_of(&names.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

const PRODUCT_FIELDS: [(&str, ProductSort); 5] = [
    ("asin", ProductSort::Asin),
    ("title", ProductSort::Title),
    ("first_seen", ProductSort::FirstSeen),
    ("last_updated", ProductSort::LastUpdated),
    ("score", ProductSort::Score),
];

impl Parameter for Sort<ProductSort> {
    fn schema() -> MetaSchema {
        sort_schema(&PRODUCT_FIELDS, "asin")
    }

    fn parse(text: &str) -> Result<Self, String> {
        parse_sort(text, &PRODUCT_FIELDS)
    }
}

const OPPORTUNITY_FIELDS: [(&str, OpportunitySort); 13] = [
    ("margin_percentage", OpportunitySort::MarginPercentage),
    ("margin", OpportunitySort::Margin),
    ("profit", OpportunitySort::Profit),
    ("roi", OpportunitySort::Roi),
    ("buffer", OpportunitySort::Buffer),
    ("score", OpportunitySort::Score),
    ("confidence", OpportunitySort::Confidence),
    ("source_price_eur", OpportunitySort::SourcePriceEur),
    ("target_price_eur", OpportunitySort::TargetPriceEur),
    ("title", OpportunitySort::Title),
    ("asin", OpportunitySort::Asin),
    ("oldest_leg", OpportunitySort::OldestLeg),
    ("last_seen", OpportunitySort::LastSeen),
];

impl Parameter for Sort<OpportunitySort> {
    fn schema() -> MetaSchema {
        sort_schema(&OPPORTUNITY_FIELDS, "-margin_percentage")
    }

    fn parse(text: &str) -> Result<Self, String> {
        parse_sort(text, &OPPORTUNITY_FIELDS)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reasons_stand_between_commas_in_any_order() {
        let parsed = |text: &str| TrapReasons::parse(text).map(|reasons| reasons.0);
        assert_eq!(parsed("stale_leg"), Ok(vec![TrapReason::StaleLeg]));
        let both = Ok(vec![TrapReason::EanMismatch, TrapReason::StaleLeg]);
        assert_eq!(parsed("stale_leg,ean_mismatch,stale_leg"), both);
        assert_eq!(parsed("all").map(|reasons| reasons.len()), Ok(TrapReason::ALL.len()));
        for text in ["", ",", "stale_leg,", "stale", "Stale_Leg", "stale_leg ean_mismatch", "all,stale_leg"] {
            assert!(parsed(text).is_err_and(|reason| reason.contains("map_price")), "{text:?}");
        }
    }

    #[test]
    fn limits_are_whole_numbers_from_1_to_500() {
        for (text, expected) in [
            ("1", Some(1)),
            ("500", Some(500)),
            ("050", Some(50)),
            ("0", None),
            ("501", None),
            ("-1", None),
            ("+5", None),
            ("5.0", None),
            ("1e2", None),
            ("ten", None),
            (" 5", None),
            ("99999999999999999999999", None),
        ] {
            assert_eq!(Limit::parse(text).ok().map(|limit| limit.0), expected, "{text:?}");
        }
    }

    #[test]
    fn amounts_are_plain_decimals() {
        for (text, expected) in [
            ("0", Some((0, 0))),
            ("49.9", Some((4990, 4990))),
            ("49.995", Some((5000, 4999))),
            ("0.000001", Some((1, 0))),
            ("999999999", Some((99_999_999_900, 99_999_999_900))),
            ("9999999999", None),
            ("-1", None),
            ("1,5", None),
            ("1_000", None),
            ("1e3", None),
            (".5", None),
            ("5.", None),
            ("NaN", None),
            ("½", None),
        ] {
            let euros = Euros::parse(text).ok();
            assert_eq!(euros.map(|euros| (euros.cents_at_least(), euros.cents_at_most())), expected, "{text:?}");
        }
    }

    #[test]
    fn margins_may_be_negative_and_are_rounded_up_to_what_margins_are_rounded_to() {
        for (text, expected) in [
            ("10", Some(1000)),
            ("14.59", Some(1459)),
            ("14.591", Some(1460)),
            ("-5", Some(-500)),
            ("-0.001", Some(0)),
            ("--5", None),
            ("ten", None),
        ] {
            assert_eq!(MinMargin::parse(text).ok().map(|margin| margin.at_least().0), expected, "{text:?}");
        }
    }

    #[test]
    fn sorting_is_by_one_known_field() {
        let parsed = <Sort<ProductSort> as Parameter>::parse("-last_updated").unwrap();
        assert_eq!((parsed.field, parsed.descending), (ProductSort::LastUpdated, true));
        for text in ["price", "--asin", "-", "asin,title", "ASIN", "asin "] {
            assert!(<Sort<ProductSort> as Parameter>::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn texts_are_neither_blank_nor_endless() {
        assert_eq!(Words::parse("  kettle ").unwrap().0, "kettle");
        assert!(Words::parse(" \t ").is_err());
        assert!(Words::parse(&"ä".repeat(MAX_TEXT)).is_ok());
        assert!(Words::parse(&"ä".repeat(MAX_TEXT + 1)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = Words::parse(&text);
            let _ = Euros::parse(&text).map(|euros| (euros.cents_at_least(), euros.cents_at_most()));
            let _ = MinMargin::parse(&text).map(MinMargin::at_least);
            let _ = Limit::parse(&text);
            let _ = <Sort<OpportunitySort> as Parameter>::parse(&text);
            let _ = <OpportunityId as Parameter>::parse(&text);
        }
    }
}
