//! The server over real connections.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use shared::domain::UnixMillis;
use tokio_util::sync::CancellationToken;

use super::{Clock, Fault, REFERENCE_ASIN, SimulatorConfig, SimulatorHandle, start};

const NOW: i64 = 1_795_003_217_456;

/// A client of a running simulator whose clock the test holds.
struct Client {
    simulator: SimulatorHandle,
    http: reqwest::Client,
    now: Arc<AtomicI64>,
}

struct Answer {
    status: u16,
    encoding: Option<String>,
    bytes: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).expect("JSON")
    }
}

impl Client {
    async fn get(&self, path_and_query: &str) -> Answer {
        self.try_get(path_and_query).await.expect("an answer")
    }

    async fn try_get(&self, path_and_query: &str) -> reqwest::Result<Answer> {
        read(self.http.get(self.address(path_and_query)).send().await?).await
    }

    async fn post(&self, path_and_query: &str, body: &Value) -> Answer {
        let response = self
            .http
            .post(self.address(path_and_query))
            .body(body.to_string())
            .send()
            .await
            .expect("an answer");
        read(response).await.expect("a body")
    }

    /// GET with the `selection` encoded.
    async fn select(&self, path_and_query: &str, selection: &str) -> Answer {
        let encoded: String = url::form_urlencoded::byte_serialize(selection.as_bytes()).collect();
        self.get(&format!("{path_and_query}&selection={encoded}")).await
    }

    fn address(&self, path_and_query: &str) -> String {
        let join = if path_and_query.contains('?') { '&' } else { '?' };
        format!("{}{path_and_query}{join}key=secret", self.simulator.url())
    }

    fn advance(&self, millis: i64) {
        self.now.fetch_add(millis, Ordering::Relaxed);
    }
}

async fn read(response: reqwest::Response) -> reqwest::Result<Answer> {
    let status = response.status().as_u16();
    let encoding = response.headers().get("content-encoding").map(|value| value.to_str().expect("text").to_owned());
    Ok(Answer {
        status,
        encoding,
        bytes: response.bytes().await?.to_vec(),
    })
}

async fn with_simulator(config: SimulatorConfig, test: impl AsyncFnOnce(&Client)) {
    let now = Arc::new(AtomicI64::new(NOW));
    let clock = Arc::clone(&now);
    let config = SimulatorConfig {
        clock: Clock::from_fn(move || UnixMillis(clock.load(Ordering::Relaxed))),
        ..config
    };
    let simulator = start(config).await.expect("a free port");
    // Bodies as they travel, whatever features of reqwest other crates switch on.
    let http = reqwest::Client::builder()
        .no_gzip()
        .no_brotli()
        .no_deflate()
        .no_zstd()
        .build()
        .expect("a client");
    let client = Client {
        simulator: simulator.handle(),
        http,
        now,
    };
    let shutdown = CancellationToken::new();
    let served = simulator.serve(shutdown.clone());
    let tested = async {
        test(&client).await;
        shutdown.cancel();
        // Idle connections would keep the server until its drain deadline.
        drop(client);
    };
    let (served, ()) = tokio::join!(served, tested);
    served.expect("the server ends well");
}

fn small() -> SimulatorConfig {
    SimulatorConfig {
        products: 60,
        ..SimulatorConfig::default()
    }
}

fn number(value: &Value) -> i64 {
    value.as_i64().expect("a whole number")
}

#[tokio::test]
async fn a_product_request_costs_three_tokens_with_the_buy_box_and_answers_in_the_envelope() {
    with_simulator(small(), async |client| {
        let answer = client
            .get(&format!("/product?domain=9&asin={REFERENCE_ASIN}&stats=90&history=0&buybox=1"))
            .await
            .json();
        assert_eq!((number(&answer["timestamp"]), number(&answer["tokensConsumed"])), (NOW, 3));
        assert_eq!((number(&answer["tokensLeft"]), number(&answer["refillRate"])), (359_997, 6_000));
        assert!((0..=60_000).contains(&number(&answer["refillIn"])));
        assert_eq!(answer["products"][0]["asin"], REFERENCE_ASIN);
        assert_eq!(
            (
                number(&answer["products"][0]["domainId"]),
                number(&answer["products"][0]["stats"]["buyBoxPrice"])
            ),
            (9, 4_799)
        );
        assert_eq!(client.simulator.tokens_left(), 359_997);
    })
    .await;
}

#[tokio::test]
async fn the_parameters_of_a_product_request_have_their_prices() {
    with_simulator(small(), async |client| {
        let known = format!("asin={REFERENCE_ASIN}");
        for (query, cost) in [
            (known.clone(), 1),
            (format!("{known}&buybox=1"), 3),
            (format!("{known}&update=0"), 2),
            (format!("{known}&update=-1"), 1),
            (format!("{known}&offers=20"), 6),
            (format!("{known}&offers=20&buybox=1&stock=1&only-live-offers=1"), 8),
            (format!("{known},{known}").replace(",asin=", ","), 1),
            ("asin=B0ZZZZZZZZ".to_owned(), 1),
            ("asin=B0ZZZZZZZZ&update=-1".to_owned(), 0),
        ] {
            let answer = client.get(&format!("/product?domain=3&{query}")).await.json();
            assert_eq!(number(&answer["tokensConsumed"]), cost, "{query}");
        }
    })
    .await;
}

#[tokio::test]
async fn offers_and_what_only_they_tell_come_when_asked_for() {
    with_simulator(small(), async |client| {
        let list: Vec<String> = client.simulator.world().asins().iter().take(20).map(ToString::to_string).collect();
        let answer = client
            .get(&format!("/product?domain=3&asin={}&offers=20&stats=30", list.join(",")))
            .await
            .json();
        let products = answer["products"].as_array().expect("a list");
        assert!(products.iter().any(|product| product["csv"][10].is_array()) && products.iter().any(|product| product["csv"][7].is_array()));
        assert!(
            products
                .iter()
                .any(|product| product["offers"].as_array().is_some_and(|offers| offers.len() > 1))
        );
        let answer = client.get(&format!("/product?domain=3&asin={}", list.join(","))).await.json();
        assert!(
            answer["products"]
                .as_array()
                .expect("a list")
                .iter()
                .all(|product| product["csv"][10].is_null() && product["offers"].is_null())
        );
    })
    .await;
}

#[tokio::test]
async fn a_hundred_asins_come_back_once_each_and_unknown_ones_as_stubs_or_not_at_all() {
    with_simulator(SimulatorConfig { products: 120, ..small() }, async |client| {
        let asins: Vec<String> = client.simulator.world().asins().iter().skip(20).map(ToString::to_string).collect();
        let answer = client
            .get(&format!("/product?domain=4&asin={}&stats=90&history=0&buybox=1", asins.join(",")))
            .await
            .json();
        let products = answer["products"].as_array().expect("a list");
        let known: Vec<&Value> = products.iter().filter(|product| product["productType"] == 0).collect();
        let stubs = products.len() - known.len();
        assert!(known.len() > 80 && stubs > 0 && products.len() < 100, "{} {stubs}", known.len());
        assert_eq!(number(&answer["tokensConsumed"]), 3 * known.len() as i64 + (100 - known.len() as i64));
    })
    .await;
}

#[tokio::test]
async fn a_product_code_leads_to_all_its_asins() {
    with_simulator(small(), async |client| {
        let asin = client.simulator.world().asins()[39];
        let product = client.get(&format!("/product?domain=3&asin={asin}&history=0")).await.json();
        let ean = product["products"][0]["eanList"][0].as_str().expect("a code").to_owned();
        let answer = client.get(&format!("/product?domain=3&code={ean}&history=0")).await.json();
        assert_eq!(answer["products"].as_array().map(Vec::len), Some(2));
        let answer = client.get(&format!("/product?domain=3&code={ean}&history=0&code-limit=1")).await.json();
        assert_eq!(answer["products"].as_array().map(Vec::len), Some(1));
    })
    .await;
}

#[tokio::test]
async fn wrong_parameters_get_a_400_that_names_them_and_costs_nothing() {
    let hundred_and_one = vec!["B0D1XD1ZV3"; 101].join(",");
    with_simulator(small(), async |client| {
        for (query, named) in [
            ("/product?domain=0&asin=B0D1XD1ZV3".to_owned(), "domain"),
            ("/product?domain=7&asin=B0D1XD1ZV3".to_owned(), "domain"),
            ("/product?domain=13&asin=B0D1XD1ZV3".to_owned(), "domain"),
            ("/product?asin=B0D1XD1ZV3".to_owned(), "domain"),
            ("/product?domain=3".to_owned(), "asin"),
            ("/product?domain=3&asin=B0D1XD1ZV".to_owned(), "asin"),
            ("/product?domain=3&asin=B0D1XD1ZV3&code=4006381333931".to_owned(), "asin"),
            (format!("/product?domain=3&asin={hundred_and_one}"), "asin"),
            ("/product?domain=3&asin=B0D1XD1ZV3&stats=x".to_owned(), "stats"),
            ("/product?domain=3&asin=B0D1XD1ZV3&buybox=2".to_owned(), "buybox"),
            ("/product?domain=3&asin=B0D1XD1ZV3&offers=10".to_owned(), "offers"),
            ("/bestsellers?domain=12&category=1".to_owned(), "domain"),
            ("/bestsellers?domain=3".to_owned(), "category"),
            ("/category?domain=3&category=x".to_owned(), "category"),
            ("/search?domain=3&type=product&term=ab".to_owned(), "term"),
            ("/search?domain=3&type=books&term=abc".to_owned(), "type"),
            ("/seller?domain=3".to_owned(), "seller"),
            ("/query?domain=3".to_owned(), "selection"),
        ] {
            let answer = client.get(&query).await;
            assert_eq!(answer.status, 400, "{query}");
            let envelope = answer.json();
            assert_eq!(envelope["error"]["type"], "invalidParameter");
            assert!(
                envelope["error"]["details"].as_str().expect("text").contains(&format!("\"type\":\"{named}\"")),
                "{query} {envelope}"
            );
            assert_eq!(number(&envelope["refillRate"]), 0);
        }
        assert_eq!(client.simulator.tokens_left(), 360_000);
    })
    .await;
}

#[tokio::test]
async fn only_the_right_key_opens() {
    with_simulator(
        SimulatorConfig {
            key: Some("other".to_owned()),
            ..small()
        },
        async |client| {
            let answer = client.get("/token").await;
            assert_eq!(answer.status, 400);
            assert_eq!((number(&answer.json()["tokensLeft"]), &answer.json()["error"]["details"]), (0, &json!("")));
        },
    )
    .await;
    with_simulator(small(), async |client| {
        let without_key = client.http.get(format!("{}/token", client.simulator.url())).send().await.expect("an answer");
        assert_eq!(without_key.status(), 400);
    })
    .await;
}

#[tokio::test]
async fn unknown_paths_are_404_and_wrong_methods_405() {
    with_simulator(small(), async |client| {
        assert_eq!(client.get("/deals?domain=3").await.status, 404);
        assert_eq!(client.post("/product?domain=3", &json!({})).await.status, 405);
    })
    .await;
}

#[tokio::test]
async fn an_overdrawn_bucket_answers_429_with_the_true_balance_until_it_is_refilled() {
    let config = SimulatorConfig {
        refill_rate: 20,
        initial_tokens: Some(2),
        tick: Duration::from_mins(1),
        ..small()
    };
    with_simulator(config, async |client| {
        let first = client.get("/bestsellers?domain=3&category=Elektronik%20%26%20Foto").await;
        assert_eq!((first.status, number(&first.json()["tokensLeft"])), (200, -48));
        let refused = client.get("/product?domain=3&asin=B0D1XD1ZV3").await;
        assert_eq!(refused.status, 429);
        let envelope = refused.json();
        assert_eq!(
            (
                number(&envelope["tokensLeft"]),
                number(&envelope["refillIn"]),
                number(&envelope["tokensConsumed"])
            ),
            (-48, 60_000, 0)
        );
        assert!(envelope.get("products").is_none());
        // Asking for the balance is free and always possible.
        assert_eq!(client.get("/token").await.status, 200);
        client.advance(150_000);
        let still_refused = client.get("/product?domain=3&asin=B0D1XD1ZV3").await;
        assert_eq!(
            (
                still_refused.status,
                number(&still_refused.json()["tokensLeft"]),
                number(&still_refused.json()["refillIn"])
            ),
            (429, -8, 30_000)
        );
        client.advance(30_000);
        assert_eq!(client.get("/product?domain=3&asin=B0D1XD1ZV3").await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn bodies_are_compressed_for_who_accepts_it_errors_too() {
    with_simulator(small(), async |client| {
        client.simulator.faults().next(1, "/token", Fault::Status(503));
        for (path, status) in [("/token", 503), ("/token", 200), ("/product?domain=7&asin=B0D1XD1ZV3", 400), ("/nowhere", 404)] {
            let request = client.http.get(client.address(path)).header("accept-encoding", "br, gzip;q=0.9");
            let answer = read(request.send().await.expect("an answer")).await.expect("a body");
            assert_eq!((answer.status, answer.encoding.as_deref()), (status, Some("gzip")), "{path}");
            assert_eq!(answer.bytes[..2], [0x1f, 0x8b]);
            let mut text = String::new();
            flate2::read::GzDecoder::new(&answer.bytes[..]).read_to_string(&mut text).expect("gzip");
            assert!(text.starts_with(if status == 503 { "<html>" } else { "{\"timestamp\"" }), "{text}");
        }
        let plain = client.get("/token").await;
        assert_eq!(plain.encoding, None);
        assert!(plain.json()["tokensLeft"].is_number());
    })
    .await;
}

#[tokio::test]
async fn the_category_tree_can_be_walked_and_its_best_sellers_listed() {
    with_simulator(small(), async |client| {
        let roots = client.get("/category?domain=8&category=0").await.json();
        assert_eq!(number(&roots["tokensConsumed"]), 1);
        let roots = roots["categories"].as_object().expect("a map");
        assert_eq!(roots.len(), 10);
        let (id, root) = roots.iter().find(|(_, root)| root["name"] == "Casa e cucina").expect("Italian names");
        let child = number(&root["children"][0]);
        let child = client.get(&format!("/category?domain=8&category={child}&parents=1")).await.json();
        assert_eq!(child["categoryParents"][id]["name"], "Casa e cucina");
        let best = client.get(&format!("/bestsellers?domain=8&category={id}")).await.json();
        assert_eq!(
            (number(&best["tokensConsumed"]), number(&best["bestSellersList"]["categoryId"]).to_string()),
            (50, id.clone())
        );
        let asins: Vec<&str> = best["bestSellersList"]["asinList"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert!(asins.len() >= 4, "{asins:?}");
        let products = client
            .get(&format!("/product?domain=8&asin={}&stats=1&history=0", asins.join(",")))
            .await
            .json();
        let rank = |asin: &str| {
            let products = products["products"].as_array().expect("a list");
            let product = products.iter().find(|product| product["asin"] == asin).expect("it is known");
            assert_eq!(number(&product["rootCategory"]).to_string(), *id);
            number(&product["stats"]["current"][3])
        };
        assert!(asins.windows(2).all(|pair| rank(pair[0]) <= rank(pair[1])));
        let none = client.get("/bestsellers?domain=8&category=17").await.json();
        assert_eq!((number(&none["tokensConsumed"]), none.get("bestSellersList")), (0, None));
    })
    .await;
}

#[tokio::test]
async fn searching_finds_categories_and_products() {
    with_simulator(small(), async |client| {
        let categories = client.get("/search?domain=2&type=category&term=kitchen%20appliances").await.json();
        assert_eq!(categories["categories"].as_object().map(serde_json::Map::len), Some(1));
        let products = client
            .get("/search?domain=2&type=product&term=bluetooth%20speaker&stats=30&history=0")
            .await
            .json();
        assert_eq!(number(&products["tokensConsumed"]), 10);
        let title = products["products"][0]["title"].as_str().expect("a title");
        assert!(title.contains("Bluetooth Speaker") && products["products"][0]["stats"].is_object());
        let asins = client.get("/search?domain=2&type=product&term=bluetooth&asins-only=1&page=0").await.json();
        assert!(asins["asinList"].as_array().is_some_and(|asins| !asins.is_empty() && asins.len() <= 10));
    })
    .await;
}

#[tokio::test]
async fn the_product_finder_filters_sorts_and_pages() {
    with_simulator(SimulatorConfig { products: 200, ..small() }, async |client| {
        let selection =
            json!({"current_BUY_BOX_SHIPPING_gte": 3000, "current_BUY_BOX_SHIPPING_lte": 9000, "sort": [["current_SALES", "asc"]], "perPage": 50, "page": 0});
        let by_post = client.post("/query?domain=3", &selection).await.json();
        let by_get = client.select("/query?domain=3", &selection.to_string()).await.json();
        assert_eq!(by_post["asinList"], by_get["asinList"]);
        let asins: Vec<&str> = by_post["asinList"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        assert!(asins.len() > 20 && asins.len() <= 50);
        assert_eq!(number(&by_post["tokensConsumed"]), 11);
        assert!(number(&by_post["totalResults"]) >= asins.len() as i64);
        for asin in asins {
            let price = client.simulator.world().product_json(
                asin.parse().expect("an ASIN"),
                shared::domain::Marketplace::DE,
                UnixMillis(NOW),
                &super::ProductOptions {
                    stats: Some(super::StatsInterval::Days(1)),
                    buy_box: true,
                    history: false,
                    ..Default::default()
                },
            );
            let product: Value = serde_json::from_str(&price.expect("it is known")).expect("JSON");
            assert!((3_000..=9_000).contains(&number(&product["stats"]["current"][18])));
        }
        let roots = client.get("/category?domain=3&category=0").await.json();
        let books = roots["categories"]
            .as_object()
            .expect("a map")
            .iter()
            .find(|(_, root)| root["name"] == "Bücher")
            .expect("German names")
            .0
            .clone();
        let found = client
            .post(
                "/query?domain=3",
                &json!({"rootCategory": books.parse::<i64>().expect("a number"), "title": "roman"}),
            )
            .await
            .json();
        assert!(number(&found["totalResults"]) > 0);
        for wrong in [
            r#"{"page":0,}"#,
            "{\"page\":0 # first\n}",
            r#"{"sort":[["current_NOTHING","asc"]]}"#,
            r#"{"perPage":50,"page":201}"#,
            r#"{"brand":7}"#,
            "[]",
        ] {
            assert_eq!(client.select("/query?domain=3", wrong).await.status, 400, "{wrong}");
        }
    })
    .await;
}

#[tokio::test]
async fn deals_are_recent_changes_by_date_range_and_price_type() {
    with_simulator(SimulatorConfig { products: 200, ..small() }, async |client| {
        let selection =
            json!({"page": 0, "domainId": 3, "priceTypes": [18], "dateRange": 3, "deltaPercentRange": [5, 90], "isRangeEnabled": true, "sortType": 4});
        let answer = client.post("/deal", &selection).await.json();
        assert_eq!((number(&answer["tokensConsumed"]), &answer["dealsCached"]), (5, &json!(false)));
        let deals = answer["deals"]["dr"].as_array().expect("a list");
        assert!(!deals.is_empty() && deals.len() <= 150);
        let drops: Vec<i64> = deals.iter().map(|deal| number(&deal["deltaPercent"][3][18])).collect();
        assert!(
            drops.windows(2).all(|pair| pair[0] >= pair[1]) && drops.iter().all(|drop| (5..=90).contains(drop)),
            "{drops:?}"
        );
        for deal in deals {
            assert_eq!(number(&deal["delta"][3][18]), number(&deal["avg"][3][18]) - number(&deal["current"][18]));
            assert_eq!(
                (deal["avg"].as_array().map(Vec::len), deal["avg"][0].as_array().map(Vec::len)),
                (Some(4), Some(36))
            );
            assert_eq!(number(&deal["avg"][0][8]), -2);
            let image: Vec<u8> = deal["image"].as_array().expect("codes").iter().map(|code| number(code) as u8).collect();
            assert!(String::from_utf8(image).expect("ASCII").ends_with(".jpg"));
            assert_ne!(deal["asin"], REFERENCE_ASIN);
        }
        let lengths = ["categoryIds", "categoryNames", "categoryCount"].map(|name| answer["deals"][name].as_array().map(Vec::len));
        assert!(lengths[0] > Some(0) && lengths[0] == lengths[1] && lengths[1] == lengths[2]);
        let all = client
            .select("/deal?", &json!({"page": 0, "domainId": 3, "priceTypes": [18]}).to_string())
            .await
            .json();
        assert!(all["deals"]["dr"].as_array().expect("a list").len() > deals.len());
        for wrong in [
            json!({"domainId": 3, "priceTypes": [0, 1]}),
            json!({"domainId": 3, "priceTypes": [4]}),
            json!({"domainId": 7, "priceTypes": [1]}),
        ] {
            assert_eq!(client.post("/deal", &wrong).await.status, 400, "{wrong}");
        }
    })
    .await;
}

#[tokio::test]
async fn sellers_are_known_by_the_ids_that_products_name() {
    with_simulator(small(), async |client| {
        let amazon = client.get("/seller?domain=3&seller=A3JWKAKR8XB7XF&storefront=1").await.json();
        assert_eq!(number(&amazon["tokensConsumed"]), 10);
        let amazon = &amazon["sellers"]["A3JWKAKR8XB7XF"];
        assert_eq!(amazon["sellerName"], "Amazon");
        assert!(amazon["asinList"].as_array().is_some_and(|asins| asins.contains(&json!(REFERENCE_ASIN))));
        let unknown = client.get("/seller?domain=3&seller=A0NOBODY").await.json();
        assert_eq!((number(&unknown["tokensConsumed"]), &unknown["sellers"]), (0, &json!({})));
        assert_eq!(client.get("/seller?domain=3&seller=A,B&storefront=1").await.status, 400);
    })
    .await;
}

#[tokio::test]
async fn ordered_faults_happen_once_and_then_all_is_well() {
    with_simulator(small(), async |client| {
        let faults = client.simulator.faults();
        faults.next(1, "/token", Fault::Status429 { refill_in_ms: 1_234 });
        faults.next(1, "/token", Fault::Status(500));
        faults.next(1, "/token", Fault::Html);
        faults.next(1, "/token", Fault::Slow(Duration::from_millis(1)));
        let too_many = client.get("/token").await;
        assert_eq!(
            (too_many.status, number(&too_many.json()["refillIn"]), number(&too_many.json()["refillRate"])),
            (429, 1_234, 6_000)
        );
        let error = client.get("/token").await;
        assert_eq!((error.status, number(&error.json()["refillRate"])), (500, 0));
        let html = client.get("/token").await;
        assert!(html.status == 200 && html.bytes.starts_with(b"<html>"));
        assert_eq!(client.get("/token").await.status, 200);
        assert_eq!((client.get("/token").await.status, faults.pending()), (200, 0));
        assert_eq!(client.simulator.requests_served(), 5);
    })
    .await;
}

#[tokio::test]
async fn a_cut_connection_costs_its_tokens_and_the_next_request_works() {
    with_simulator(small(), async |client| {
        let request = format!("/product?domain=3&asin={REFERENCE_ASIN}");
        client.simulator.faults().next(1, "/product", Fault::Drop);
        // A client may try once more on a fresh connection by itself where a kept one ends; this is a fresh one.
        assert!(client.try_get(&request).await.is_err());
        client.simulator.faults().next(1, "/product", Fault::Truncate);
        let error = client.try_get(&request).await.map(|answer| answer.status).expect_err("half an answer");
        assert!(error.is_body() || error.is_decode(), "{error:?}");
        assert_eq!(client.simulator.tokens_left(), 359_998);
        assert_eq!(client.get(&request).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn faults_by_chance_are_the_same_for_the_same_seed() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let faults = super::Faults {
            unavailable: 0.3,
            server_error: 0.2,
            ..super::Faults::default()
        };
        with_simulator(SimulatorConfig { faults, ..small() }, async |client| {
            let mut statuses = Vec::new();
            for _ in 0..30 {
                statuses.push(client.get("/token").await.status);
            }
            runs.push(statuses);
        })
        .await;
    }
    assert_eq!(runs[0], runs[1]);
    assert!([200, 500, 503].iter().all(|status| runs[0].contains(status)), "{runs:?}");
}

#[tokio::test]
async fn requests_at_the_same_time_are_all_answered_and_all_charged() {
    with_simulator(small(), async |client| {
        let request = format!("/product?domain=3&asin={REFERENCE_ASIN}&history=0");
        let answers = futures_util::future::join_all((0..20).map(|_| client.get(&request))).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
        assert_eq!(client.simulator.tokens_left(), 359_980);
    })
    .await;
}
