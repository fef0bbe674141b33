//! How far consumer groups are behind, asked of the broker by one who is in none of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::config::EventLogConfig;
use super::error::EventLogError;
use super::health::{HealthSensor, SensorContext};
use super::read::ReadContext;
use super::read::partitions_of;
use super::topic::Topic;
use super::topics::off_the_async_threads;

const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Records between what each group has committed and the end of its topic; of a group that never committed, all there are.
pub(super) async fn lag(config: EventLogConfig, sensor: Arc<HealthSensor>, groups: Vec<(String, Topic)>) -> Result<BTreeMap<String, i64>, EventLogError> {
    off_the_async_threads(move || {
        let lags = groups.into_iter().map(|(group, topic)| {
            let behind = of_group(&config, &sensor, &group, topic)?;
            Ok((group, behind))
        });
        lags.collect()
    })
    .await
}

fn of_group(config: &EventLogConfig, sensor: &Arc<HealthSensor>, group: &str, topic: Topic) -> Result<i64, EventLogError> {
    let asked = |source| EventLogError::classify("ask how far a group is behind", source);
    let name = config.topic_name(topic);
    // Whoever assigns nothing to himself is no member: he may only ask for what the group has committed.
    let settings = config.follower(&config.group_name(group));
    let context = ReadContext(SensorContext(Arc::clone(sensor)));
    let client: BaseConsumer<ReadContext> = BaseConsumer::from_config_and_context(&settings, context).map_err(asked)?;
    let mut partitions = TopicPartitionList::new();
    for partition in partitions_of(&client, &name, ANSWER_WITHIN).map_err(asked)? {
        partitions.add_partition(&name, partition);
    }
    let committed = client.committed_offsets(partitions, ANSWER_WITHIN).map_err(asked)?;
    let mut behind: i64 = 0;
    for element in committed.elements() {
        let (low, high) = client.fetch_watermarks(&name, element.partition(), ANSWER_WITHIN).map_err(asked)?;
        let next = if let Offset::Offset(next) = element.offset() { next.max(low) } else { low };
        behind = behind.saturating_add((high - next).max(0));
    }
    Ok(behind)
}
