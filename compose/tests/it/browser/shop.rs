//! A Keepa for readers: articles with titles of any kind, whose prices move when a test says so.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use poem::http::StatusCode;
use poem::listener::{Acceptor as _, Listener as _, TcpListener};
use poem::web::{Data, Query};
use poem::{EndpointExt as _, Response, Route, Server, get, handler};
use serde_json::{Value, json};
use shared::domain::UnixMillis;

use super::articles::Article;
use crate::double::KEY;
use crate::independent::{Dice, MARKETS, keepa_minutes, rates_xml};

/// Slots in Keepa's arrays, and those used here.
const SLOTS: usize = 36;
const NEW: usize = 1;
const SALES_RANK: usize = 3;
const OFFERS: usize = 11;
const BUY_BOX: usize = 18;
/// How far back an article's prices go.
const HISTORY_DAYS: i64 = 120;
const DAY_MINUTES: i64 = 24 * 60;

/// The articles, and whether anybody answers for them.
pub struct Shop {
    articles: Mutex<BTreeMap<String, Article>>,
    is_away: AtomicBool,
}

impl Shop {
    /// Starts on a free port. The server lives as long as the test's runtime.
    pub async fn start(articles: Vec<Article>) -> (Arc<Shop>, SocketAddr) {
        let shop = Arc::new(Shop {
            articles: Mutex::new(articles.into_iter().map(|article| (article.asin.clone(), article)).collect()),
            is_away: AtomicBool::new(false),
        });
        let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.expect("a free port");
        let address = *acceptor.local_addr()[0].as_socket_addr().expect("a socket address");
        let routes = Route::new().at("/*path", get(keepa)).data(Arc::clone(&shop));
        // Owned by the test's runtime, which ends it.
        #[allow(clippy::disallowed_methods)]
        tokio::spawn(Server::new_with_acceptor(acceptor).run(routes));
        (shop, address)
    }

    /// From now on an article costs this there, in minor units; `None`: nobody offers it.
    pub fn set_price(&self, asin: &str, market: &str, minor: Option<i64>) {
        let (market, _) = MARKETS.into_iter().find(|(name, _)| *name == market).expect("a marketplace");
        let mut articles = self.articles();
        articles.get_mut(asin).expect("an article of the shop").minor.insert(market, minor);
    }

    /// From now on every question is answered with 503, or no longer.
    pub fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    /// All ASINs.
    pub fn asins(&self) -> Vec<String> {
        self.articles().keys().cloned().collect()
    }

    fn articles(&self) -> MutexGuard<'_, BTreeMap<String, Article>> {
        self.articles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Files and variables of a run on a shop.
pub struct Inputs {
    _folder: tempfile::TempDir,
    /// As the product takes them.
    pub variables: Vec<(String, String)>,
}

impl Inputs {
    /// The shop's articles are watched, and asked for again after so many seconds.
    pub fn new(shop: &Shop, address: SocketAddr, refresh_seconds: u32) -> Inputs {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path.to_str().expect("UTF-8").to_owned()
        };
        let variables = [
            ("KEEPA_API_KEY", KEY.to_owned()),
            ("KEEPA_URL", format!("http://{address}")),
            ("WATCHLIST", write("watchlist.txt", shop.asins().join("\n"))),
            (
                "RATES_FILE",
                write("rates.xml", rates_xml(&UnixMillis::now().to_utc().date_naive().to_string())),
            ),
            ("REFRESH_SECONDS", refresh_seconds.to_string()),
        ];
        Inputs {
            variables: variables.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            _folder: folder,
        }
    }
}

#[handler]
fn keepa(Data(shop): Data<&Arc<Shop>>, Query(parameters): Query<BTreeMap<String, String>>, request: &poem::Request) -> Response {
    let now = UnixMillis::now().0;
    let parameter = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
    let mut envelope = json!({"timestamp": now, "tokensLeft": 1_000_000, "refillIn": 1_000, "refillRate": 60_000,
        "tokenFlowReduction": 0.0, "tokensConsumed": 0, "processingTimeInMs": 1});
    let mut status = StatusCode::OK;
    if shop.is_away.load(Ordering::SeqCst) {
        status = StatusCode::SERVICE_UNAVAILABLE;
    } else if request.uri().path() == "/product" {
        let domain: i64 = parameter("domain").parse().expect("a domain id");
        let articles = shop.articles();
        let asked = parameter("asin").split(',').filter_map(|asin| articles.get(asin));
        let products: Vec<Value> = asked.filter_map(|article| product(article, domain, parameter("history") == "1", now)).collect();
        envelope["tokensConsumed"] = json!(3 * products.len());
        envelope["products"] = json!(products);
    } else if request.uri().path() == "/deal" {
        envelope["deals"] = json!({"dr": [], "categoryIds": [], "categoryNames": [], "categoryCount": []});
    }
    Response::builder()
        .status(status)
        .content_type("application/json;charset=utf-8")
        .body(envelope.to_string())
}

/// What Keepa says of an article in a marketplace; `None` where it is not listed.
fn product(article: &Article, domain: i64, with_history: bool, now_ms: i64) -> Option<Value> {
    let (market, _) = MARKETS.into_iter().find(|&(_, id)| id == domain)?;
    let price = *article.minor.get(market)?;
    let now = keepa_minutes(now_ms);
    let usual = article.usual.get(market).copied().or(price);
    let slots = |price: Option<i64>, rank: i64| {
        let mut slots = vec![-1; SLOTS];
        slots[NEW] = price.unwrap_or(-1);
        slots[BUY_BOX] = price.unwrap_or(-1);
        slots[SALES_RANK] = rank;
        slots[OFFERS] = 7;
        json!(slots)
    };
    let times = |percent: i64| usual.map(|price| price * percent / 100);
    let extreme = |percent: i64| {
        let mut extremes = vec![Value::Null; SLOTS];
        for slot in [NEW, BUY_BOX] {
            extremes[slot] = times(percent).map_or(Value::Null, |price| json!([now - 20 * DAY_MINUTES, price]));
        }
        json!(extremes)
    };
    let missing = if price.is_some() { 3 } else { 100 };
    Some(json!({
        "asin": article.asin, "domainId": domain, "productType": 0, "lastUpdate": now - 1,
        "title": article.title, "brand": article.brand, "imagesCSV": article.image,
        "rootCategory": 1, "categoryTree": [{"catId": 1, "name": article.category}],
        "eanList": [format!("40{:011}", article.number)], "numberOfItems": 1, "packageWeight": 640,
        "packageLength": 240, "packageWidth": 180, "packageHeight": 90,
        "fbaFees": {"lastUpdate": now - 9_000, "pickAndPackFee": 431}, "referralFeePercentage": 15.0,
        "monthlySold": 200, "csv": if with_history { history(price, usual, now) } else { Value::Null },
        "stats": {
            "current": slots(price, 4_200), "avg30": slots(times(100), 4_300), "avg90": slots(times(101), 4_400),
            "avg180": slots(times(102), 4_500), "avg365": slots(times(103), 4_600),
            "min": extreme(91), "max": extreme(112),
            "outOfStockPercentage30": slots(Some(missing), missing), "outOfStockPercentage90": slots(Some(missing), missing),
            "buyBoxPrice": price.unwrap_or(-1), "buyBoxShipping": if price.is_some() { 0 } else { -1 },
            "lastBuyBoxUpdate": now - 1, "buyBoxSellerId": "A1SELLER", "buyBoxIsFBA": true, "buyBoxIsAmazon": false,
            "salesRankDrops30": 60, "totalOfferCount": 7, "offerCountFBA": 4, "offerCountFBM": 3,
        },
    }))
}

/// A price a day around the usual one, and the present one last.
fn history(price: Option<i64>, usual: Option<i64>, now: i64) -> Value {
    let mut dice = Dice(usual.unwrap_or_default().unsigned_abs());
    let (mut new, mut buy_box) = (Vec::new(), Vec::new());
    for day in (1..=HISTORY_DAYS).rev() {
        let at = now - day * DAY_MINUTES;
        let percent = 94 + i64::try_from(dice.roll(15)).expect("small");
        let price = usual.map_or(-1, |price| (price * percent / 100).max(1));
        new.extend([at, price]);
        buy_box.extend([at, price, if price > 0 { 0 } else { -1 }]);
    }
    new.extend([now - 1, price.unwrap_or(-1)]);
    buy_box.extend([now - 1, price.unwrap_or(-1), if price.is_some() { 0 } else { -1 }]);
    let mut csv = vec![Value::Null; SLOTS];
    csv[NEW] = json!(new);
    csv[BUY_BOX] = json!(buy_box);
    json!(csv)
}
