//! The scheduler over the embedded catalog and the embedded broker.
//!
//! Schedules here are yearly, so that no tick comes by itself while a test runs. That something is *not* requested is
//! seen by what is requested after it: jobs are looked at in the order category-scrape, deals-scan, sweep, rates.

mod flaky;
mod world;

use shared::domain::UnixMillis;
use shared::wire::JobRequest;
use shared::wire::state::RunStatus;

use world::{World, latest_new_year};

const ONLY_SCRAPE: [(&str, &str); 4] = [
    ("SCHEDULE_CATEGORY_SCRAPE", "@yearly"),
    ("SCHEDULE_DEALS_SCAN", "off"),
    ("SCHEDULE_SWEEP", "off"),
    ("SCHEDULE_RATES", "off"),
];
const SCRAPE_AND_RATES: [(&str, &str); 4] = [
    ("SCHEDULE_CATEGORY_SCRAPE", "@yearly"),
    ("SCHEDULE_DEALS_SCAN", "off"),
    ("SCHEDULE_SWEEP", "off"),
    ("SCHEDULE_RATES", "@yearly"),
];
const ALL: [(&str, &str); 4] = [
    ("SCHEDULE_CATEGORY_SCRAPE", "@yearly"),
    ("SCHEDULE_DEALS_SCAN", "@yearly"),
    ("SCHEDULE_SWEEP", "@yearly"),
    ("SCHEDULE_RATES", "@yearly"),
];

fn run_id(job: &str) -> String {
    JobRequest::run_id(job, latest_new_year())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_install_requests_categories_and_rates_at_once_and_the_others_at_their_next_tick() {
    let mut world = World::new().await;
    world.start(&ALL);
    let scrape = world.next_request().await;
    assert_eq!((scrape.job.as_str(), scrape.run_id.clone()), ("category-scrape", run_id("category-scrape")));
    assert_eq!((scrape.v, scrape.tick, scrape.attempt()), (1, latest_new_year(), 1));
    assert_eq!(world.next_request().await.run_id, run_id("rates"));
    let status = world.status_when(|status| status.jobs.len() == 4).await;
    for (job, requested) in &status.jobs {
        assert_eq!(requested.tick, latest_new_year(), "{job}");
        assert_eq!(requested.run_id.is_some(), ["category-scrape", "rates"].contains(&job.as_str()), "{job}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_issues_no_tick_twice() {
    let mut world = World::new().await;
    world.start(&ONLY_SCRAPE);
    assert_eq!(world.next_request().await.job, "category-scrape");
    world.status_when(|status| status.jobs.len() == 1).await;
    world.stop().await;
    world.start(&SCRAPE_AND_RATES);
    assert_eq!(world.next_request().await.job, "rates", "the scrape was issued before the restart");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_whose_run_exists_is_marked_without_a_second_request() {
    let mut world = World::new().await;
    world.put_run(&run_id("category-scrape"), RunStatus::Succeeded, UnixMillis::now()).await;
    world.start(&SCRAPE_AND_RATES);
    assert_eq!(world.next_request().await.job, "rates");
    let status = world.status_when(|status| status.jobs.len() == 2).await;
    assert_eq!(status.jobs["category-scrape"].run_id, Some(run_id("category-scrape")));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ticks_missed_while_down_become_one_request_for_the_latest() {
    let mut world = World::new().await;
    world
        .edit_status(|status| world::note_requested(status, "category-scrape", UnixMillis(1_500_000_000_000), None, 1))
        .await;
    world.start(&SCRAPE_AND_RATES);
    assert_eq!(world.next_request().await.run_id, run_id("category-scrape"));
    assert_eq!(world.next_request().await.run_id, run_id("rates"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_job_waits_until_its_previous_run_has_ended() {
    let mut world = World::new().await;
    let before = UnixMillis(1_500_000_000_000);
    let previous = JobRequest::run_id("category-scrape", before);
    world.put_run(&previous, RunStatus::Running, UnixMillis::now()).await;
    world
        .edit_status(|status| world::note_requested(status, "category-scrape", before, Some(previous.clone()), 1))
        .await;
    world.start(&SCRAPE_AND_RATES);
    assert_eq!(world.next_request().await.job, "rates", "the scrape waits");
    world.put_run(&previous, RunStatus::Succeeded, UnixMillis::now()).await;
    assert_eq!(world.next_request().await.run_id, run_id("category-scrape"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_somebody_else_requested_is_waited_for_as_well() {
    let mut world = World::new().await;
    world.put_run("category-scrape@by-hand", RunStatus::Queued, UnixMillis::now()).await;
    world.start(&SCRAPE_AND_RATES);
    assert_eq!(world.next_request().await.job, "rates", "the scrape waits");
    world.put_run("category-scrape@by-hand", RunStatus::Failed, UnixMillis::now()).await;
    assert_eq!(world.next_request().await.run_id, run_id("category-scrape"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_is_requested_again_under_the_next_attempts_id() {
    let mut world = World::new().await;
    let ten_minutes_ago = UnixMillis::now().plus_millis(-600_000);
    for attempt in 1..=3 {
        let failed = JobRequest::attempt_id("category-scrape", latest_new_year(), attempt);
        world.put_run(&failed, RunStatus::Failed, ten_minutes_ago).await;
        world
            .edit_status(|status| world::note_requested(status, "category-scrape", latest_new_year(), Some(failed.clone()), attempt))
            .await;
        world.start(&ONLY_SCRAPE);
        let request = world.next_request().await;
        assert_eq!(
            (request.attempt(), request.run_id),
            (attempt + 1, format!("{}#{}", run_id("category-scrape"), attempt + 1))
        );
        world.status_when(|status| status.jobs["category-scrape"].attempt == attempt + 1).await;
        world.stop().await;
    }
    let last = JobRequest::attempt_id("category-scrape", latest_new_year(), 4);
    world.put_run(&last, RunStatus::Failed, ten_minutes_ago).await;
    world.start(&SCRAPE_AND_RATES);
    assert_eq!(world.next_request().await.job, "rates", "three retries are enough");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_issue_every_tick_under_one_id() {
    let mut world = World::new().await;
    world.start(&ALL);
    world.start(&ALL);
    let status = world.status_when(|status| status.jobs.len() == 4).await;
    assert_eq!(status.jobs["rates"].run_id, Some(run_id("rates")));
    let mut ids = std::collections::BTreeSet::new();
    while ids.len() < 2 {
        ids.insert(world.next_request().await.run_id);
    }
    assert!(ids.contains(&run_id("category-scrape")) && ids.contains(&run_id("rates")), "{ids:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_catalog_is_away_the_scheduler_is_degraded_and_nothing_is_lost() {
    let mut world = World::new().await;
    world.catalog.fail_reads(3);
    world.start(&ONLY_SCRAPE);
    world
        .health_when(|condition| matches!(condition, shared::health::Condition::Degraded { .. }))
        .await;
    assert_eq!(world.next_request().await.run_id, run_id("category-scrape"));
    world.health_when(|condition| matches!(condition, shared::health::Condition::Up)).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_that_was_published_but_not_marked_is_published_again_under_the_same_id() {
    let mut world = World::new().await;
    world.catalog.fail_writes(1);
    world.start(&ONLY_SCRAPE);
    for _ in 0..2 {
        assert_eq!(world.next_request().await.run_id, run_id("category-scrape"));
    }
    world.status_when(|status| status.jobs.len() == 1).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflicting_write_is_another_replicas_and_is_decided_again() {
    let mut world = World::new().await;
    world.catalog.conflict_writes(1);
    world.start(&SCRAPE_AND_RATES);
    let mut ids = Vec::new();
    while ids.last() != Some(&run_id("rates")) {
        ids.push(world.next_request().await.run_id);
    }
    assert!(ids[..ids.len() - 1].iter().all(|id| *id == run_id("category-scrape")), "{ids:?}");
    world.stop().await;
}
