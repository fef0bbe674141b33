//! Jobs: accepted once, executed by the owner, resumed after a restart.

use producer::simulator::SimulatorConfig;
use shared::domain::Marketplace;
use shared::wire::job::{JobKind, JobParameters};
use shared::wire::state::RunStatus;

use crate::double::Double;
use crate::harness::{Simulated, World, asin, config, eventually};

fn categories(categories: &[i64], limit: u32) -> JobParameters {
    JobParameters {
        market: None,
        categories: categories.to_vec(),
        limit: Some(limit),
    }
}

#[tokio::test]
async fn a_scrape_lists_publishes_and_watches() {
    let (world, keepa) = (World::new().await, Double::start().await);
    let producer = world.start(config(&keepa.url, Vec::new()));
    let run_id = world.request_job("category-scrape", JobKind::Scrape, categories(&[3, 4], 2), None).await;
    let run = world.run_ended(&run_id).await;
    assert_eq!((run.status, run.products, run.attempts, run.error), (RunStatus::Succeeded, 20, 1, None));
    assert_eq!(run.tokens, 2 * 50 + 20 * 3);
    assert!(run.finished_at.is_some() && run.progress.pending.is_empty());
    eventually("all are read", || async { world.published().len() == 20 }).await;
    assert_eq!(world.origins().into_iter().collect::<Vec<_>>(), [("scrape".to_owned(), Some(run_id))]);
    let watched = world.watched().await;
    assert_eq!(
        watched.keys().copied().collect::<Vec<_>>(),
        [asin(3_000), asin(3_001), asin(4_000), asin(4_001)]
    );
    assert!(
        watched
            .values()
            .all(|record| record.added_by == "category-scrape" && record.last_asked_at.is_some())
    );
    assert_eq!(keepa.requests("bestsellers"), 2);
    producer.stop().await;
    keepa.stop().await;
    world.end().await;
}

/// Guard: a run's progress is stored after every confirmed step; taken out: the run stood still.
#[tokio::test]
async fn t46_a_run_goes_on_after_kills_and_pays_for_nothing_twice() {
    let (world, keepa) = (World::new().await, Double::start().await);
    let run_id = world
        .request_job(
            "category-scrape",
            JobKind::Scrape,
            JobParameters {
                limit: Some(30),
                ..JobParameters::default()
            },
            None,
        )
        .await;
    for step in 1..7 {
        let producer = world.start(config(&keepa.url, Vec::new()));
        eventually("it is at work", || async {
            keepa.product_requests().len() >= 2 * step || world.run(&run_id).await.is_some_and(|run| run.finished_at.is_some())
        })
        .await;
        producer.kill().await;
    }
    let producer = world.start(config(&keepa.url, Vec::new()));
    let run = world.run_ended(&run_id).await;
    assert_eq!(run.status, RunStatus::Succeeded, "{:?}", run.error);
    assert!(run.attempts >= 2);
    eventually("all are read", || async { world.published().len() == 2 * 30 * 5 }).await;
    producer.stop().await;
    // Two categories of 30 in five markets: 20 requests with history; each kill may repeat one of whatever kind.
    let repeated = (keepa.product_requests().len() - 20) + (keepa.requests("bestsellers") - 2) + (keepa.requests("category") - 1);
    assert!(repeated <= 6, "{repeated} repeated requests in 6 kills");
    keepa.stop().await;
    world.end().await;
}

#[tokio::test]
async fn a_budget_ends_a_run_and_a_refusal_fails_it() {
    let (world, keepa) = (World::new().await, Double::start().await);
    let producer = world.start(config(&keepa.url, Vec::new()));
    let poor = world.request_job("poor", JobKind::Scrape, categories(&[3], 10), Some(50 + 3 * 7)).await;
    let run = world.run_ended(&poor).await;
    assert_eq!((run.status, run.products, run.tokens), (RunStatus::Succeeded, 7, 71));
    assert!(run.error.is_some_and(|note| note.contains("71")));
    // The double has no deals, as some plans have none.
    let denied = world.request_job("deals", JobKind::Deals, JobParameters::default(), None).await;
    let run = world.run_ended(&denied).await;
    assert_eq!(run.status, RunStatus::Failed);
    assert!(run.error.is_some_and(|error| error.contains("/deal")));
    producer.stop().await;
    keepa.stop().await;
    world.end().await;
}

#[tokio::test]
async fn scrapes_and_deals_run_on_the_simulator_beside_the_watchlist() {
    let world = World::new().await;
    let keepa = Simulated::start(SimulatorConfig {
        products: 60,
        ..SimulatorConfig::default()
    })
    .await;
    let mut settings = config(&keepa.handle.url(), Vec::new());
    settings.initial_asins = keepa.handle.world().asins()[..10].to_vec();
    let producer = world.start(settings);
    let parameters = JobParameters {
        market: Some(Marketplace::DE),
        limit: Some(5),
        ..JobParameters::default()
    };
    let scrape = world.request_job("category-scrape", JobKind::Scrape, parameters.clone(), None).await;
    let deals = world.request_job("deals-scan", JobKind::Deals, parameters, None).await;
    for run_id in [&scrape, &deals] {
        let run = world.run_ended(run_id).await;
        assert_eq!(run.status, RunStatus::Succeeded, "{:?}", run.error);
        assert!(run.tokens > 0);
    }
    assert!(world.run(&scrape).await.unwrap().products > 0);
    let watched = world.watched().await;
    assert!(watched.values().any(|record| record.added_by == "demo") && watched.values().any(|record| record.added_by == "category-scrape"));
    world.assert_times_grow();
    producer.stop().await;
    keepa.stop().await;
    world.end().await;
}
