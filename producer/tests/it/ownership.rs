//! Two producers at once: one asks, the other idles until it is its turn.

use std::time::Duration;

use shared::health::Condition;
use shared::wire::job::{JobKind, JobParameters};
use shared::wire::state::RunStatus;

use crate::double::Double;
use crate::harness::{Producer, World, asin, config, eventually};

/// Guard: only who holds the lease of partition 0 of `job.requests` asks; taken out: both were at work at once.
#[tokio::test]
async fn t48_one_owns_the_key_and_the_other_takes_over() {
    let (world, keepa) = (World::new().await, Double::start().await);
    let (one_ports, other_ports) = (world.other_ports("one"), world.other_ports("other"));
    let settings = || {
        let mut settings = config(&keepa.url, (0..20).map(asin).collect());
        settings.refresh = Duration::from_secs(2);
        settings
    };
    let one = Producer::start(settings(), one_ports.clone());
    let other = Producer::start(settings(), other_ports.clone());
    let is_up = |ports: &shared::ports::Ports| ports.health.snapshot().get("keepa").is_some_and(|keepa| keepa.condition == Condition::Up);
    eventually("all are published", || async { world.published().len() == 100 }).await;
    // Long enough for the group to settle; then exactly one is at work.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(is_up(&one_ports) != is_up(&other_ports), "one owns, the other waits");
    // Jobs are executed wherever they are accepted.
    for number in 0..4 {
        let parameters = JobParameters {
            categories: vec![number + 10],
            limit: Some(1),
            ..JobParameters::default()
        };
        let run_id = world.request_job(&format!("job-{number}"), JobKind::Scrape, parameters, None).await;
        assert_eq!(world.run_ended(&run_id).await.status, RunStatus::Succeeded);
    }
    let (owner, heir, heir_ports) = if is_up(&one_ports) {
        (one, other, other_ports)
    } else {
        (other, one, one_ports)
    };
    owner.stop().await;
    eventually("the other takes over", || async { is_up(&heir_ports) }).await;
    let before = world.published_count();
    eventually("it asks", || async { world.published_count() >= before + 100 }).await;
    heir.stop().await;
    keepa.stop().await;
    world.end().await;
}
