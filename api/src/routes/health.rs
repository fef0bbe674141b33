//! `/health`: whether it works, for people, load balancers and orchestrators.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Serialize;
use shared::domain::UnixMillis;
use shared::health::{ComponentHealth, Condition};
use shared::wire::state::ProducerStatus;

use super::Group;
use crate::api::Api;
use crate::values::{self, Instant};

/// Without these nothing new can be served.
const VITAL: [&str; 2] = ["event_log", "catalog"];
/// Probes do not wait: what the catalog says of the producer has to come within this time.
const PATIENCE: Duration = Duration::from_millis(500);
/// A producer that has not reported for this long, milliseconds, is taken to be away.
const PRODUCER_SILENT: i64 = 5 * 60_000;

/// The handlers.
pub(crate) struct HealthRoutes {
    api: Arc<Api>,
}

/// Whether it works.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize)]
#[oai(rename = "Health")]
struct HealthDocument {
    /// `up`; `degraded`: answers, but a component does not work as it should; `down`: the event log or the catalog is away.
    status: values::Condition,
    /// By name: `event_log`, `catalog`, `keepa`, and others that report.
    components: BTreeMap<String, ComponentDocument>,
}

/// One component.
#[derive(Debug, Clone, PartialEq, Eq, Object, Serialize)]
#[oai(rename = "ComponentHealth")]
struct ComponentDocument {
    /// `up`, `degraded` or `down`.
    status: values::Condition,
    /// Since when; null if it has not been looked at yet.
    #[oai(nullable)]
    since: Option<Instant>,
    /// Why it is not up.
    #[oai(nullable)]
    reason: Option<String>,
}

/// Health and the status that goes with it.
#[derive(ApiResponse)]
enum HealthAnswer {
    /// Up or degraded.
    #[oai(status = 200)]
    Well(Json<HealthDocument>),
    /// Down, or not ready.
    #[oai(status = 503)]
    Unwell(Json<HealthDocument>),
}

#[OpenApi(tag = "Group::Operations")]
impl HealthRoutes {
    /// Health
    ///
    /// 200 while it is up or degraded, 503 while it is down.
    #[oai(path = "/health", method = "get", operation_id = "get_health")]
    async fn health(&self) -> HealthAnswer {
        let document = self.document().await;
        answer(document.status.0 != "down", document)
    }

    /// Liveness
    ///
    /// 200 as long as the process answers at all.
    #[oai(path = "/health/live", method = "get", operation_id = "get_liveness")]
    async fn live(&self) -> HealthAnswer {
        answer(true, self.document().await)
    }

    /// Readiness
    ///
    /// 503 while the event log or the catalog is away.
    #[oai(path = "/health/ready", method = "get", operation_id = "get_readiness")]
    async fn ready(&self) -> HealthAnswer {
        let document = self.document().await;
        answer(self.api.health.is_ready(&VITAL), document)
    }
}

fn answer(is_well: bool, document: HealthDocument) -> HealthAnswer {
    if is_well {
        HealthAnswer::Well(Json(document))
    } else {
        HealthAnswer::Unwell(Json(document))
    }
}

impl HealthRoutes {
    pub(super) fn new(api: Arc<Api>) -> Self {
        HealthRoutes { api }
    }

    async fn document(&self) -> HealthDocument {
        let board = self.api.health.snapshot();
        // The producer may run elsewhere: then its own record tells, where it can be read.
        let producer = match board.contains_key("keepa") {
            true => Told::Nothing,
            false => match tokio::time::timeout(PATIENCE, self.api.surroundings()).await {
                Ok(Ok(surroundings)) => surroundings.producer.clone().map_or(Told::Nothing, Told::Status),
                _ => Told::Unreadable,
            },
        };
        HealthDocument::of(&board, &producer, self.api.now())
    }
}

/// What the producer's record says.
enum Told {
    Nothing,
    Unreadable,
    Status(ProducerStatus),
}

impl HealthDocument {
    fn of(board: &BTreeMap<&'static str, ComponentHealth>, producer: &Told, now: UnixMillis) -> Self {
        let mut components: BTreeMap<String, ComponentDocument> =
            board.iter().map(|(name, health)| ((*name).to_owned(), ComponentDocument::of(health))).collect();
        for name in VITAL {
            components
                .entry(name.to_owned())
                .or_insert_with(|| ComponentDocument::new("down", None, Some("not looked at yet")));
        }
        components.entry("keepa".to_owned()).or_insert_with(|| keepa(producer, now));
        let is_down = VITAL
            .iter()
            .any(|name| components.get(*name).is_some_and(|component| component.status.0 == "down"));
        let is_well = components.values().all(|component| component.status.0 == "up");
        HealthDocument {
            status: values::Condition(match (is_down, is_well) {
                (true, _) => "down",
                (false, true) => "up",
                (false, false) => "degraded",
            }),
            components,
        }
    }
}

fn keepa(producer: &Told, now: UnixMillis) -> ComponentDocument {
    match producer {
        Told::Nothing => ComponentDocument::new("degraded", None, Some("no producer has reported yet")),
        Told::Unreadable => ComponentDocument::new("degraded", None, Some("not known while the catalog is away")),
        Told::Status(status) if now.millis_since(status.at) > PRODUCER_SILENT => {
            ComponentDocument::new("degraded", Some(status.at), Some("the producer has not reported for minutes"))
        }
        Told::Status(status) if status.keepa == "up" => ComponentDocument::new("up", Some(status.at), None),
        Told::Status(status) => ComponentDocument::new("degraded", Some(status.at), Some(&status.keepa)),
    }
}

impl ComponentDocument {
    fn new(status: &'static str, since: Option<UnixMillis>, reason: Option<&str>) -> Self {
        ComponentDocument {
            status: values::Condition(status),
            since: since.map(Instant),
            reason: reason.map(str::to_owned),
        }
    }

    fn of(health: &ComponentHealth) -> Self {
        let (status, reason) = match &health.condition {
            Condition::Up => ("up", None),
            Condition::Degraded { reason } => ("degraded", Some(reason.as_str())),
            Condition::Down { reason } => ("down", Some(reason.as_str())),
        };
        Self::new(status, Some(health.since), reason)
    }
}

#[cfg(test)]
mod tests {
    use shared::health::Health;

    use super::*;

    fn status(event_log: Option<Condition>, catalog: Option<Condition>, keepa: Option<Condition>, producer: &Told) -> (&'static str, &'static str) {
        let health = Health::default();
        for (name, condition) in [("event_log", event_log), ("catalog", catalog), ("keepa", keepa)] {
            if let Some(condition) = condition {
                health.set(name, condition, UnixMillis(1));
            }
        }
        let document = HealthDocument::of(&health.snapshot(), producer, UnixMillis(1_000_000));
        (document.status.0, document.components["keepa"].status.0)
    }

    #[test]
    fn only_the_event_log_and_the_catalog_take_the_whole_down() {
        let up = || Some(Condition::Up);
        let down = || Some(Condition::Down { reason: "gone".into() });
        let producer = |keepa: &str, at| {
            Told::Status(ProducerStatus {
                simulated: true,
                tokens_left: None,
                refill_rate: None,
                keepa: keepa.into(),
                at: UnixMillis(at),
            })
        };
        for (event_log, catalog, keepa, producer, expected) in [
            (up(), up(), up(), Told::Nothing, ("up", "up")),
            (up(), up(), down(), Told::Nothing, ("degraded", "down")),
            (up(), down(), up(), Told::Nothing, ("down", "up")),
            (down(), up(), up(), Told::Nothing, ("down", "up")),
            (None, up(), up(), Told::Nothing, ("down", "up")),
            (up(), up(), None, Told::Nothing, ("degraded", "degraded")),
            (up(), up(), None, Told::Unreadable, ("degraded", "degraded")),
            (up(), up(), None, producer("up", 999_000), ("up", "up")),
            (up(), up(), None, producer("HTTP 402", 999_000), ("degraded", "degraded")),
            (up(), up(), None, producer("up", 600_000), ("degraded", "degraded")),
        ] {
            assert_eq!(
                status(event_log.clone(), catalog.clone(), keepa.clone(), &producer),
                expected,
                "{event_log:?} {catalog:?} {keepa:?}"
            );
        }
    }
}
