//! What a page script is played on: the running product, and everything around it that can be taken away.

use std::sync::Arc;

use serde::Deserialize;

use super::articles::Article;
use super::outage::Catalog;
use super::shop::{Inputs, Shop};
use crate::system::System;

/// What a page script may ask for: a line of JSON on its standard output, answered by a line when it is done.
#[derive(Debug, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// An article costs this there, in minor units.
    Price { asin: String, market: String, minor: Option<i64> },
    /// Keepa answers, or not.
    Keepa { is_away: bool },
    /// The catalog answers, or not.
    Catalog { is_away: bool },
    /// The whole product is killed, or started again at the same address.
    Product { is_away: bool },
}

/// Seconds.
const LIVELY: u32 = 1;
const QUIET: u32 = 3_600;

/// See the module.
pub struct Stage {
    shop: Option<(Arc<Shop>, Inputs)>,
    catalog: Catalog,
    data: tempfile::TempDir,
    /// Where the product is, or was before it was taken away.
    url: String,
    system: Option<System>,
}

impl Stage {
    /// The product with nothing configured: simulated data.
    pub async fn simulated() -> Stage {
        Stage::set(None, Catalog::embedded()).await
    }

    /// The product with a shop of these articles, whose prices are asked for every second.
    pub async fn with(articles: Vec<Article>) -> Stage {
        Stage::open(articles, LIVELY, Catalog::embedded()).await
    }

    /// The product with a shop whose prices are asked for once: hardly anything is written, so that whoever cannot write finds out
    /// without waiting for others.
    pub async fn quiet(articles: Vec<Article>, catalog: Catalog) -> Stage {
        Stage::open(articles, QUIET, catalog).await
    }

    async fn open(articles: Vec<Article>, refresh_seconds: u32, catalog: Catalog) -> Stage {
        let (shop, address) = Shop::start(articles).await;
        let inputs = Inputs::new(&shop, address, refresh_seconds);
        Stage::set(Some((shop, inputs)), catalog).await
    }

    async fn set(shop: Option<(Arc<Shop>, Inputs)>, catalog: Catalog) -> Stage {
        let mut stage = Stage {
            shop,
            catalog,
            data: tempfile::tempdir().expect("a temporary folder"),
            url: String::new(),
            system: None,
        };
        let system = stage.start("127.0.0.1:0").await;
        system.api.url.clone_into(&mut stage.url);
        stage.system = Some(system);
        stage
    }

    async fn start(&self, listen: &str) -> System {
        let mut variables = vec![("API_LISTEN", listen)];
        let inputs = self.shop.iter().flat_map(|(_, inputs)| &inputs.variables);
        let all = inputs.chain(&self.catalog.variables);
        variables.extend(all.map(|(name, value)| (name.as_str(), value.as_str())));
        System::start(self.data.path(), &variables).await
    }

    /// `http://127.0.0.1:port` of the product.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The folder of its data.
    /// The running product.
    pub fn system(&self) -> &System {
        self.system.as_ref().expect("nobody took it away")
    }

    /// Waits until so many opportunities are listed.
    pub async fn has_opportunities(&self, least: u64) {
        let is_enough = |page: &serde_json::Value| (page["total"]["value"].as_u64() >= Some(least)).then_some(());
        self.system().api.eventually("/opportunities?limit=1", "opportunities", is_enough).await;
    }

    /// Does what a page script asks for.
    pub async fn carry_out(&mut self, order: Order) {
        match order {
            Order::Price { asin, market, minor } => self.shop().set_price(&asin, &market, minor),
            Order::Keepa { is_away } => self.shop().set_away(is_away),
            Order::Catalog { is_away: true } => self.catalog.take_away(self.data.path()).await,
            Order::Catalog { is_away: false } => self.catalog.bring_back().await,
            Order::Product { is_away: true } => self.system.take().expect("it runs").kill().await,
            Order::Product { is_away: false } => {
                let listen = self.url.strip_prefix("http://").expect("a URL");
                self.system = Some(self.start(listen).await);
            }
        }
    }

    fn shop(&self) -> &Shop {
        &self.shop.as_ref().expect("a stage with a shop").0
    }

    /// The end: the product stops as it should.
    pub async fn end(mut self) {
        let system = self.system.take().expect("it runs");
        assert_eq!(system.terminate().await, Some(0));
        self.catalog.remove().await;
    }
}
