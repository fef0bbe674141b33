//! What each endpoint answers. Pure: world, parameters and instant in, payload or rejection out.

mod bestsellers;
mod category;
mod deal;
mod product;
mod query;
mod search;
mod seller;

use shared::domain::UnixMillis;

use super::envelope::{Payload, Rejection};
use super::parameters::Parameters;
use super::world::World;

/// A request whose key was found right.
#[derive(Debug)]
pub(super) struct Call<'c> {
    pub(super) world: &'c World,
    pub(super) parameters: &'c Parameters,
    /// The body of a POST.
    pub(super) body: Option<&'c str>,
    pub(super) now: UnixMillis,
}

/// The endpoints that the simulator has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    Product,
    Bestsellers,
    Category,
    Search,
    Query,
    Deal,
    Seller,
    Token,
}

impl Endpoint {
    /// By the path without slashes.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        Some(match path {
            "product" => Endpoint::Product,
            "bestsellers" => Endpoint::Bestsellers,
            "category" => Endpoint::Category,
            "search" => Endpoint::Search,
            "query" => Endpoint::Query,
            "deal" => Endpoint::Deal,
            "seller" => Endpoint::Seller,
            "token" => Endpoint::Token,
            _ => return None,
        })
    }

    pub(super) fn accepts_post(self) -> bool {
        matches!(self, Endpoint::Query | Endpoint::Deal)
    }

    /// `/token` answers on an empty bucket, too.
    pub(super) fn needs_tokens(self) -> bool {
        self != Endpoint::Token
    }

    /// # Errors
    /// A parameter is missing, malformed or out of range.
    pub(super) fn answer(self, call: &Call<'_>) -> Result<Payload, Rejection> {
        match self {
            Endpoint::Product => product::answer(call),
            Endpoint::Bestsellers => bestsellers::answer(call),
            Endpoint::Category => category::answer(call),
            Endpoint::Search => search::answer(call),
            Endpoint::Query => query::answer(call),
            Endpoint::Deal => deal::answer(call),
            Endpoint::Seller => seller::answer(call),
            Endpoint::Token => Ok(Payload::new(0)),
        }
    }
}

impl Call<'_> {
    /// The `selection`: the body of a POST, a parameter of a GET. Strict JSON, an object.
    fn selection(&self) -> Result<serde_json::Map<String, serde_json::Value>, Rejection> {
        let text = match self.body {
            Some(body) => body,
            None => self.parameters.required("selection")?,
        };
        serde_json::from_str(text).map_err(|_| Rejection::parameter("selection"))
    }
}

/// The words that all have to occur; a word has to have three characters somewhere.
fn search_words(text: &str) -> Option<Vec<String>> {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    words.iter().any(|word| word.chars().count() >= 3).then_some(words)
}

fn has_all_words(text: &str, words: &[String]) -> bool {
    let text = text.to_lowercase();
    words.iter().all(|word| text.contains(word))
}
