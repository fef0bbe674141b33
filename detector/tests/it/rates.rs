//! Exchange rates: from the source into the catalog, and from there into the opportunities.

use shared::domain::opportunity::ClosedReason;
use shared::domain::{Marketplace, UnixMillis};
use shared::health::Condition;
use shared::ports::catalog::read_rates;
use shared::wire::JobKind;
use shared::wire::state::RunStatus;

use crate::bench::{Bench, product, until};
use crate::http::Server;
use crate::pipeline::{Running, ask, is_done, job, until_run, until_stored};

fn xml(date: &str, pounds: &str) -> String {
    format!("<Envelope><Cube><Cube time='{date}'><Cube currency='GBP' rate='{pounds}'/></Cube></Cube></Envelope>")
}

fn today() -> String {
    UnixMillis::now().to_utc().date_naive().to_string()
}

async fn pounds(bench: &Bench) -> Option<String> {
    let rates = read_rates(bench.catalog.as_ref()).await.unwrap()?;
    rates.units_per_eur.values().next().map(ToString::to_string)
}

async fn bring_pounds(bench: &Bench) {
    let now = UnixMillis::now();
    bench
        .bring(&product(
            "B0D1XD1ZV3",
            now.0,
            now,
            &[(Marketplace::UK, Some(4999)), (Marketplace::DE, Some(6499))],
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rates_are_fetched_at_start_and_new_ones_have_everything_evaluated_again() {
    let bench = Bench::start().await;
    bench.say_simulated(false).await;
    let server = Server::start(200, &xml(&today(), "0.86120")).await;
    let detector = Running::start(&bench, &[("ECB_RATES_URL", &server.url)]);
    until("rates", async || pounds(&bench).await).await;
    bring_pounds(&bench).await;
    let stored = until_stored(&bench, "B0D1XD1ZV3:UK:DE", |_| true).await;
    assert_eq!((stored.source_price_eur.minor, stored.margin.minor), (5805, 694));

    // Corrected on the same day; the job asks at once.
    server.answer(200, &xml(&today(), "0.90000"));
    ask(&bench, &job("rates", JobKind::Rates, 60_000)).await;
    until_run(&bench, "rates", is_done).await;
    let stored = until_stored(&bench, "B0D1XD1ZV3:UK:DE", |stored| stored.source_price_eur.minor == 5554).await;
    assert_eq!(stored.exchange_rate.unwrap().units_per_eur.values().next().unwrap().to_string(), "0.90000");
    detector.stop().await;

    // A restart within the day asks nobody.
    let asked = server.asked();
    let detector = Running::start(&bench, &[("ECB_RATES_URL", &server.url)]);
    until("the start", async || {
        (crate::pipeline::runs(&bench)
            .await
            .iter()
            .filter(|run| run.request.job == "sweep-on-start" && is_done(run))
            .count()
            == 2)
            .then_some(())
    })
    .await;
    assert_eq!(server.asked(), asked);
    detector.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rates_that_cannot_be_had_leave_those_held_and_are_asked_for_again() {
    let bench = Bench::start().await;
    bench.say_simulated(false).await;
    let server = Server::start(200, &xml(&today(), "0.86120")).await;
    let detector = Running::start(&bench, &[("ECB_RATES_URL", &server.url)]);
    until("rates", async || pounds(&bench).await).await;

    server.answer(503, "no");
    ask(&bench, &job("rates", JobKind::Rates, 60_000)).await;
    let run = until_run(&bench, "rates", |run| run.status == RunStatus::Failed).await;
    let error = run.error.unwrap();
    assert!(error.contains("503") && error.contains(&server.url), "{error}");
    assert_eq!(pounds(&bench).await.as_deref(), Some("0.86120"));
    until("degraded", async || {
        let health = bench.health.snapshot();
        health
            .get("exchange_rates")
            .is_some_and(|rates| matches!(&rates.condition, Condition::Degraded { reason } if reason.contains("503")))
            .then_some(())
    })
    .await;

    // Asked again without a job.
    server.answer(200, &xml(&today(), "0.90000"));
    until("the next try", async || pounds(&bench).await.filter(|rate| rate == "0.90000")).await;
    until("up", async || {
        (bench.health.snapshot()["exchange_rates"].condition == Condition::Up).then_some(())
    })
    .await;
    detector.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_real_data_rates_older_than_a_week_close_what_they_opened() {
    let bench = Bench::start().await;
    bench.say_simulated(false).await;
    let server = Server::start(200, &xml("2026-01-02", "0.86120")).await;
    let detector = Running::start(&bench, &[("ECB_RATES_URL", &server.url)]);
    until("rates", async || pounds(&bench).await).await;
    bring_pounds(&bench).await;
    // Simulated data does not mind old rates.
    bench.say_simulated(true).await;
    until_stored(&bench, "B0D1XD1ZV3:UK:DE", |stored| stored.is_active).await;
    bench.say_simulated(false).await;
    let stored = until_stored(&bench, "B0D1XD1ZV3:UK:DE", |stored| !stored.is_active).await;
    assert_eq!(stored.closed_reason, Some(ClosedReason::Rate));
    detector.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rates_from_a_file_come_before_a_url() {
    let bench = Bench::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rates.xml");
    std::fs::write(&path, xml("2026-07-09", "0.86120")).unwrap();
    let server = Server::start(200, &xml("2026-07-10", "0.90000")).await;
    // Needs nobody to say what kind of data it is.
    let detector = Running::start(&bench, &[("RATES_FILE", path.to_str().unwrap()), ("ECB_RATES_URL", &server.url)]);
    assert_eq!(until("rates", async || pounds(&bench).await).await, "0.86120");
    detector.stop().await;
    std::fs::write(&path, xml("2026-07-10", "0.87000")).unwrap();
    let detector = Running::start(&bench, &[("RATES_FILE", path.to_str().unwrap())]);
    until("the changed file", async || pounds(&bench).await.filter(|rate| rate == "0.87000")).await;
    detector.stop().await;
    assert_eq!(server.asked(), 0);
}
