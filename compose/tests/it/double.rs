//! A Keepa that the tests script: 300 articles in five marketplaces with odd data, every product and opportunity
//! compared with an independent computation.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use poem::listener::{Acceptor as _, Listener as _, TcpListener};
use poem::web::{Data, Query};
use poem::{EndpointExt as _, Response, Route, Server, get, handler};
use serde_json::{Value, json};
use shared::domain::UnixMillis;

use crate::independent::{self, World};
use crate::system::{Api, System};

/// The key the tests use: it must not turn up anywhere.
pub const KEY: &str = "k3epa5ecretk3epa5ecretk3epa5ecretk3epa5ecretk3epa5ecret00000000";
/// How many articles there are.
pub const ARTICLES: usize = 300;

/// The double's state.
pub struct Double {
    /// Prices change with it.
    pub world: AtomicU64,
    /// (domain, ASIN) that were asked for since the world last changed.
    pub asked: Mutex<BTreeSet<(i64, String)>>,
    index: BTreeMap<String, usize>,
}

#[handler]
fn keepa(Data(double): Data<&Arc<Double>>, Query(parameters): Query<BTreeMap<String, String>>, request: &poem::Request) -> Response {
    let now = UnixMillis::now().0;
    let mut envelope = json!({"timestamp": now, "tokensLeft": 1_000_000, "refillIn": 1_000, "refillRate": 60_000, "tokenFlowReduction": 0.0, "tokensConsumed": 0, "processingTimeInMs": 1});
    let parameter = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
    let mut status = 200;
    if parameter("key") != KEY {
        status = 400;
        envelope = json!({"error": {"type": "invalidParameter", "message": "bad key", "details": ""}, "refillRate": 0, "tokensLeft": 0, "refillIn": 0, "timestamp": now, "tokenFlowReduction": 0.0, "tokensConsumed": 0, "processingTimeInMs": 0});
    } else if request.uri().path() == "/product" {
        let domain: i64 = parameter("domain").parse().expect("a domain id");
        let world = double.world.load(Ordering::SeqCst);
        let mut products = Vec::new();
        // Reversed: nobody may rely on the order. One of them twice: duplicates must not matter.
        for asin in parameter("asin").split(',').rev() {
            let product = double.index.get(asin).and_then(|&index| independent::case(index, domain, world, now).product);
            products.extend(product);
            double.asked.lock().expect("no panic").insert((domain, asin.to_owned()));
        }
        envelope["tokensConsumed"] = json!(3 * products.len());
        envelope["products"] = json!(products);
    } else if request.uri().path() == "/bestsellers" {
        // No list: the field is absent.
    } else if request.uri().path() == "/category" {
        envelope["categories"] = json!({"1": {"domainId": 3, "catId": 1, "name": "Bücher", "parent": 0, "children": null}});
    } else if request.uri().path() == "/deal" {
        envelope["deals"] = json!({"dr": [], "categoryIds": [i64::MAX], "categoryNames": ["?"], "categoryCount": [0]});
    }
    Response::builder()
        .status(poem::http::StatusCode::from_u16(status).expect("a status"))
        .content_type("application/json;charset=utf-8")
        .body(envelope.to_string())
}

impl Double {
    /// Starts it on a free port. The server lives as long as the test's runtime.
    pub async fn start() -> (Arc<Double>, SocketAddr) {
        let index = (0..ARTICLES).map(|index| (independent::asin(index), index)).collect();
        let double = Arc::new(Double {
            world: AtomicU64::new(0),
            asked: Mutex::default(),
            index,
        });
        let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.expect("a free port");
        let address = *acceptor.local_addr()[0].as_socket_addr().expect("a socket address");
        let routes = Route::new().at("/*path", get(keepa)).data(Arc::clone(&double));
        // Owned by the test's runtime, which ends it.
        #[allow(clippy::disallowed_methods)]
        tokio::spawn(Server::new_with_acceptor(acceptor).run(routes));
        (double, address)
    }

    /// The next world: all prices differ.
    pub fn turn(&self) -> u64 {
        let world = self.world.fetch_add(1, Ordering::SeqCst) + 1;
        self.asked.lock().expect("no panic").clear();
        world
    }

    /// What must be shown of the present world.
    pub fn expected(&self) -> World {
        independent::world(ARTICLES, self.world.load(Ordering::SeqCst), UnixMillis::now().0)
    }
}

/// Files and variables of a run against the double.
pub struct Inputs {
    _folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Inputs {
    /// A watchlist of all articles, today's rates, the double's address.
    pub fn new(address: SocketAddr) -> Inputs {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let watchlist = folder.path().join("watchlist.csv");
        let rows: String = (0..ARTICLES).map(|index| format!("{},note {index}\n", independent::asin(index))).collect();
        std::fs::write(&watchlist, format!("asin,note\n{rows}")).expect("written");
        let rates = folder.path().join("rates.xml");
        std::fs::write(&rates, independent::rates_xml(&UnixMillis::now().to_utc().date_naive().to_string())).expect("written");
        let path = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
        let variables = [
            ("KEEPA_API_KEY", KEY.to_owned()),
            ("KEEPA_URL", format!("http://{address}")),
            ("WATCHLIST", path(&watchlist)),
            ("RATES_FILE", path(&rates)),
            ("REFRESH_SECONDS", "1".to_owned()),
        ];
        Inputs {
            variables: variables.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            _folder: folder,
        }
    }

    /// As the system takes them.
    pub fn variables(&self) -> Vec<(&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

/// The differences between what is shown and what must be; an API that does not answer is one.
pub async fn differences(api: &Api, expected: &World) -> Vec<String> {
    let (products, opportunities) = match (api.try_get_all("/products").await, api.try_get_all("/opportunities").await) {
        (Ok(products), Ok(opportunities)) => (products, opportunities),
        (Err(why), _) | (_, Err(why)) => return vec![why],
    };
    let mut differences = Vec::new();
    let products: BTreeMap<String, Value> = products
        .into_iter()
        .map(|product| (product["asin"].as_str().expect("an asin").to_owned(), product))
        .collect();
    for (asin, prices) in expected {
        let Some(product) = products.get(asin) else {
            if independent::known_asins(ARTICLES, UnixMillis::now().0).contains(asin) {
                differences.push(format!("{asin} is missing"));
            }
            continue;
        };
        let shown = &product["current_prices"];
        let wanted: BTreeMap<&str, Value> = prices
            .iter()
            .map(|(&market, price)| {
                let currency = if market == "UK" { "GBP" } else { "EUR" };
                let amounts = (
                    independent::decimal(price.minor),
                    independent::decimal(independent::euro_cents(market, price.minor)),
                );
                (market, json!([amounts.0, currency, amounts.1, price.kind]))
            })
            .collect();
        let got: BTreeMap<&str, Value> = shown
            .as_object()
            .expect("prices by market")
            .iter()
            .map(|(market, price)| {
                (
                    market.as_str(),
                    json!([price["amount"].to_string(), price["currency"], price["amount_eur"].to_string(), price["kind"]]),
                )
            })
            .collect();
        if got != wanted {
            differences.push(format!("{asin}: {got:?} instead of {wanted:?}"));
        }
    }
    differences.extend(
        products
            .keys()
            .filter(|asin| !expected.contains_key(*asin))
            .map(|asin| format!("{asin} was never told")),
    );

    let wanted = independent::opportunities(expected);
    let got: BTreeMap<String, (String, String, String, String)> = opportunities
        .into_iter()
        .map(|found| {
            let text = |field: &str| found[field].to_string();
            (
                found["id"].as_str().expect("an id").to_owned(),
                (text("margin"), text("margin_percentage"), text("source_price_eur"), text("target_price_eur")),
            )
        })
        .collect();
    for id in wanted.keys().chain(got.keys()).collect::<BTreeSet<_>>() {
        if wanted.get(id) != got.get(id) {
            differences.push(format!("{id}: {:?} instead of {:?}", got.get(id), wanted.get(id)));
        }
    }
    differences
}

/// Waits until everything shown equals the double's present world.
pub async fn converges(api: &Api, double: &Double) {
    converges_within(Duration::from_secs(120), api, double).await;
}

/// The same, where much may have piled up.
pub async fn converges_within(patience: Duration, api: &Api, double: &Double) {
    let started = std::time::Instant::now();
    loop {
        let expected = double.expected();
        let differences = differences(api, &expected).await;
        if differences.is_empty() {
            return;
        }
        let few: Vec<&String> = differences.iter().take(10).collect();
        assert!(started.elapsed() < patience, "{} differences remain: {few:#?}", differences.len());
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_product_and_opportunity_equals_an_independent_computation() {
    let (double, address) = Double::start().await;
    let inputs = Inputs::new(address);
    let data = tempfile::tempdir().expect("a temporary folder");
    let system = System::start(data.path(), &inputs.variables()).await;
    assert!(!system.banner.contains("simulated"), "{}", system.banner);
    converges(&system.api, &double).await;

    // Entities are resolved, titles never shortened, brands and categories may be missing.
    let titled = (0..ARTICLES).find(|&index| {
        independent::case(index, 3, 0, UnixMillis::now().0)
            .product
            .is_some_and(|product| product["title"].is_string())
    });
    let index = titled.expect("most articles have a title in DE");
    let product = system.api.get(&format!("/products/{}", independent::asin(index))).await;
    let title = product["title"].as_str().expect("a title");
    assert!(title.starts_with(&format!("Artikel & Söhne {index}")), "{title}");

    let stats = system.api.get("/stats").await;
    assert_eq!(stats["simulated"], json!(false), "{stats}");
    assert_eq!(stats["feed"]["dlq_total"], json!(0), "{stats}");

    // All prices move: everything follows.
    double.turn();
    converges(&system.api, &double).await;

    let metrics = reqwest::get(format!("{}/metrics", system.api.url))
        .await
        .expect("metrics")
        .text()
        .await
        .expect("text");
    assert!(!metrics.contains(KEY), "the key is in the metrics");
    assert_eq!(system.terminate().await, Some(0));
}
