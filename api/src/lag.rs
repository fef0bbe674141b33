//! How far the services are behind: of those in this process their own gauges tell, of others the broker is asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared::adapters::kafka::{EventLog, Topic, consumer_lag};
use tokio_util::sync::CancellationToken;

use crate::api::Api;

/// The groups whose work readers wait for, and what they work off.
const GROUPS: [(&str, Topic); 2] = [("enricher", Topic::RawUpdates), ("detector", Topic::EnrichedProducts)];
const ASK_EVERY: Duration = Duration::from_secs(10);

/// Records behind the end, by group; none while nobody knows.
pub(crate) fn lag(asked: Option<BTreeMap<String, i64>>) -> Option<BTreeMap<String, i64>> {
    Some(consumer_lag()).filter(|own| !own.is_empty()).or(asked)
}

/// Asks the broker again and again while no service runs in this process; what it last said is forgotten when it fails.
pub(crate) async fn ask(api: Arc<Api>, event_log: EventLog, shutdown: CancellationToken) -> anyhow::Result<()> {
    loop {
        // Services in this process are given the time to say it first.
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(ASK_EVERY) => {}
        }
        if !consumer_lag().is_empty() {
            continue;
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            asked = event_log.lag(&GROUPS) => {
                if let Err(error) = &asked {
                    tracing::debug!(error = %error, "how far the services are behind is not known");
                }
                api.set_lag(asked.ok());
            }
        }
    }
}
