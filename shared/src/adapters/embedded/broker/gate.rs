//! The one way to tansu's storage.
//!
//! tansu handles all storage in one task, over connections that give up at once when the file is locked. The gate lets
//! one caller at a time through, maintenance among them, so nobody ever meets a lock. It costs nothing: behind it there is
//! one task anyway.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tansu_sans_io::create_topics_request::CreatableTopic;
use tansu_sans_io::delete_groups_response::DeletableGroupResult;
use tansu_sans_io::delete_records_request::DeleteRecordsTopic;
use tansu_sans_io::delete_records_response::DeleteRecordsTopicResult;
use tansu_sans_io::describe_cluster_response::DescribeClusterBroker;
use tansu_sans_io::describe_configs_response::DescribeConfigsResult;
use tansu_sans_io::describe_topic_partitions_response::DescribeTopicPartitionsResponseTopic;
use tansu_sans_io::incremental_alter_configs_request::AlterConfigsResource;
use tansu_sans_io::incremental_alter_configs_response::AlterConfigsResourceResponse;
use tansu_sans_io::list_groups_response::ListedGroup;
use tansu_sans_io::record::deflated;
use tansu_sans_io::txn_offset_commit_response::TxnOffsetCommitResponseTopic;
use tansu_sans_io::{ConfigResource, ErrorCode, IsolationLevel, ListOffset, ScramMechanism};
use tansu_storage::{
    BrokerRegistrationRequest, Error, GroupDetail, ListOffsetResponse, MetadataResponse, NamedGroupDetail, OffsetCommitRequest, OffsetStage,
    ProducerIdResponse, Result, ScramCredential, Storage, StorageContainer, TopicId, Topition, TxnAddPartitionsRequest, TxnAddPartitionsResponse,
    TxnOffsetCommitRequest, UpdateError, Version,
};
use tokio::sync::{Mutex, MutexGuard};
use url::Url;
use uuid::Uuid;

use super::Groups;
use super::groups::forget_the_gone;
use super::log_file::{LogFile, StoredPartition, TopicName};

#[derive(Clone)]
pub(super) struct Gate {
    shared: Arc<Shared>,
}

struct Shared {
    origin: Origin,
    file: Arc<LogFile>,
    storage: Mutex<StorageContainer>,
    groups: OnceLock<Groups>,
    /// Where this process's log lines go; the threads that tansu runs on are mute.
    log: tracing::Dispatch,
}

/// What it takes to open the storage, and to open it again.
struct Origin {
    url: Url,
    cluster: &'static str,
    node: i32,
    advertised: Url,
    _link: Option<Link>,
}

impl Gate {
    pub(super) async fn open(path: &Path, cluster: &'static str, node: i32, advertised: Url, file: Arc<LogFile>, log: tracing::Dispatch) -> Result<Gate> {
        let (url, link) = storage_url(path)?;
        let origin = Origin {
            url,
            cluster,
            node,
            advertised,
            _link: link,
        };
        let storage = origin.open().await?;
        let gate = Gate {
            shared: Arc::new(Shared {
                origin,
                file,
                storage: Mutex::new(storage),
                groups: OnceLock::new(),
                log,
            }),
        };
        let groups = Groups::with_storage(gate.clone()).map_err(|error| Error::Message(error.to_string()))?;
        let _ = gate.shared.groups.set(groups);
        Ok(gate)
    }

    /// tansu's group coordinator; one for all connections, as it keeps the state of groups in memory.
    pub(super) fn groups(&self) -> Groups {
        self.shared.groups.get().cloned().expect("the coordinator is set before the gate is handed out")
    }

    /// Keeps tansu out while maintenance writes.
    pub(super) async fn hold(&self) -> Held<'_> {
        Held {
            _storage: self.shared.storage.lock().await,
        }
    }

    /// Waits for the request at work and lets no other one in.
    pub(super) async fn close(&self) {
        let held = self.shared.storage.lock().await;
        // Never given back: whoever comes now waits until its connection is closed.
        std::mem::forget(held);
    }

    /// A storage task that panicked answers nothing ever again. What it was asked has failed, the next request need not.
    async fn heal(&self, storage: &mut StorageContainer) {
        if storage.ping().await.is_ok() {
            return;
        }
        let opened = self.shared.origin.open().await;
        tracing::dispatcher::with_default(&self.shared.log, || match &opened {
            Ok(_) => tracing::error!("the embedded event log's storage task ended and was started again"),
            Err(error) => tracing::error!(%error, "the embedded event log's storage cannot be opened again"),
        });
        if let Ok(opened) = opened {
            *storage = opened;
        }
    }

    /// tansu panics over a topic that it does not know, when the producer is an idempotent one for example.
    async fn existing(&self, topition: &Topition) -> Result<StoredPartition> {
        let found = self.shared.file.partition(TopicName::Name(topition.topic()), topition.partition()).await?;
        found.ok_or(Error::Api(ErrorCode::UnknownTopicOrPartition))
    }
}

/// As long as it lives, tansu writes nothing.
pub(super) struct Held<'a> {
    _storage: MutexGuard<'a, StorageContainer>,
}

impl Origin {
    async fn open(&self) -> Result<StorageContainer> {
        let storage = StorageContainer::builder()
            .cluster_id(self.cluster)
            .node_id(self.node)
            .advertised_listener(self.advertised.clone())
            .storage(self.url.clone())
            .silent(true)
            .build()
            .await?;
        storage
            .register_broker(BrokerRegistrationRequest {
                broker_id: self.node,
                cluster_id: self.cluster.to_owned(),
                incarnation_id: Uuid::nil(),
                rack: None,
            })
            .await?;
        Ok(storage)
    }
}

/// tansu takes the file's path from a URL without decoding it, and strips one slash: hence two.
///
/// A path that a URL would write otherwise (blanks, letters beyond ASCII) is reached through a link with a plain name.
fn storage_url(path: &Path) -> Result<(Url, Option<Link>)> {
    let absolute = std::path::absolute(path).map_err(|error| Error::Message(error.to_string()))?;
    if let Some(url) = plain_url(&absolute) {
        return Ok((url, None));
    }
    let link = Link::to(&absolute).map_err(|error| Error::Message(error.to_string()))?;
    let url = plain_url(&link.file).ok_or_else(|| Error::Message(format!("the temporary folder's path {} cannot be used", link.folder.display())))?;
    Ok((url, Some(link)))
}

fn plain_url(path: &Path) -> Option<Url> {
    let path = path.to_str()?;
    let url = Url::parse(&format!("sqlite:///{path}")).ok()?;
    (url.path().strip_prefix('/') == Some(path) && url.query().is_none() && url.fragment().is_none()).then_some(url)
}

/// A folder under the system's temporary folder with a link to the data folder.
struct Link {
    folder: PathBuf,
    file: PathBuf,
}

impl Link {
    fn to(file: &Path) -> std::io::Result<Link> {
        let missing = || std::io::Error::from(std::io::ErrorKind::InvalidInput);
        let (data_dir, name) = (file.parent().ok_or_else(missing)?, file.file_name().ok_or_else(missing)?);
        let folder = std::env::temp_dir().join(format!("event-log-{:016x}", rand::random::<u64>()));
        std::fs::create_dir(&folder)?;
        let data = folder.join("data");
        std::os::unix::fs::symlink(data_dir, &data)?;
        Ok(Link { folder, file: data.join(name) })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Removes the link, not what it leads to.
        let _ = std::fs::remove_file(self.folder.join("data"));
        let _ = std::fs::remove_dir(&self.folder);
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

/// Writes the storage trait out: every call goes through the gate as it is, but for `produce` and `update_group`.
macro_rules! through_the_gate {
    ($(async fn $name:ident(&self $(, $arg:ident: $ty:ty)*) -> $ret:ty;)*) => {
        #[async_trait]
        impl Storage for Gate {
            $(
                async fn $name(&self $(, $arg: $ty)*) -> $ret {
                    let mut storage = self.shared.storage.lock().await;
                    let result = storage.$name($($arg),*).await;
                    if result.is_err() {
                        self.heal(&mut storage).await;
                    }
                    result
                }
            )*

            async fn produce(
                &self,
                transaction_id: Option<&str>,
                topition: &Topition,
                batch: deflated::Batch,
            ) -> Result<i64> {
                let partition = self.existing(topition).await?;
                let mut storage = self.shared.storage.lock().await;
                let result = storage.produce(transaction_id, topition, batch).await;
                match &result {
                    Ok(_) => self.shared.file.note_append(partition),
                    Err(_) => self.heal(&mut storage).await,
                }
                result
            }

            /// Stores a group, without what it keeps of members that are gone. The coordinator goes by what it stored, so it
            /// is told that somebody else was sooner, and tries again from there.
            async fn update_group(
                &self,
                group_id: &str,
                detail: GroupDetail,
                version: Option<Version>,
            ) -> Result<Version, UpdateError<GroupDetail>> {
                let mended = forget_the_gone(&detail);
                let mut storage = self.shared.storage.lock().await;
                let stored = storage.update_group(group_id, mended.clone().unwrap_or(detail), version).await;
                match (stored, mended) {
                    (Ok(version), Some(current)) => Err(UpdateError::Outdated { current: Box::new(current), version }),
                    (Ok(version), None) => Ok(version),
                    (Err(error), _) => {
                        self.heal(&mut storage).await;
                        Err(error)
                    }
                }
            }

            /// Nobody asks for it: fetching goes another way.
            async fn offset_stage(&self, topition: &Topition) -> Result<OffsetStage> {
                self.existing(topition).await?;
                self.shared.storage.lock().await.offset_stage(topition).await
            }

            /// Retention is done by this broker.
            async fn maintain(&self, _now: SystemTime) -> Result<()> {
                Ok(())
            }
        }
    };
}

through_the_gate! {
    async fn register_broker(&self, broker_registration: BrokerRegistrationRequest) -> Result<()>;
    async fn create_topic(&self, topic: CreatableTopic, validate_only: bool) -> Result<Uuid>;
    async fn incremental_alter_resource(&self, resource: AlterConfigsResource) -> Result<AlterConfigsResourceResponse>;
    async fn delete_records(&self, topics: &[DeleteRecordsTopic]) -> Result<Vec<DeleteRecordsTopicResult>>;
    async fn delete_topic(&self, topic: &TopicId) -> Result<ErrorCode>;
    async fn brokers(&self) -> Result<Vec<DescribeClusterBroker>>;
    async fn fetch(
        &self, topition: &'_ Topition, offset: i64, min_bytes: u32, max_bytes: u32, isolation: IsolationLevel
    ) -> Result<Vec<deflated::Batch>>;
    async fn list_offsets(
        &self, isolation_level: IsolationLevel, offsets: &[(Topition, ListOffset)]
    ) -> Result<Vec<(Topition, ListOffsetResponse)>>;
    async fn offset_commit(
        &self, group_id: &str, retention: Option<Duration>, offsets: &[(Topition, OffsetCommitRequest)]
    ) -> Result<Vec<(Topition, ErrorCode)>>;
    async fn offset_fetch(
        &self, group_id: Option<&str>, topics: &[Topition], require_stable: Option<bool>
    ) -> Result<BTreeMap<Topition, i64>>;
    async fn committed_offset_topitions(&self, group_id: &str) -> Result<BTreeMap<Topition, i64>>;
    async fn metadata(&self, topics: Option<&[TopicId]>) -> Result<MetadataResponse>;
    async fn upsert_user_scram_credential(
        &self, user: &str, mechanism: ScramMechanism, credential: ScramCredential
    ) -> Result<()>;
    async fn delete_user_scram_credential(&self, user: &str, mechanism: ScramMechanism) -> Result<()>;
    async fn user_scram_credential(&self, user: &str, mechanism: ScramMechanism) -> Result<Option<ScramCredential>>;
    async fn describe_config(
        &self, name: &str, resource: ConfigResource, keys: Option<&[String]>
    ) -> Result<DescribeConfigsResult>;
    async fn list_groups(&self, states_filter: Option<&[String]>) -> Result<Vec<ListedGroup>>;
    async fn delete_groups(&self, group_ids: Option<&[String]>) -> Result<Vec<DeletableGroupResult>>;
    async fn describe_groups(
        &self, group_ids: Option<&[String]>, include_authorized_operations: bool
    ) -> Result<Vec<NamedGroupDetail>>;
    async fn describe_topic_partitions(
        &self, topics: Option<&[TopicId]>, partition_limit: i32, cursor: Option<Topition>
    ) -> Result<Vec<DescribeTopicPartitionsResponseTopic>>;
    async fn init_producer(
        &self, transaction_id: Option<&str>, transaction_timeout_ms: i32, producer_id: Option<i64>,
        producer_epoch: Option<i16>
    ) -> Result<ProducerIdResponse>;
    async fn txn_add_offsets(
        &self, transaction_id: &str, producer_id: i64, producer_epoch: i16, group_id: &str
    ) -> Result<ErrorCode>;
    async fn txn_add_partitions(&self, partitions: TxnAddPartitionsRequest) -> Result<TxnAddPartitionsResponse>;
    async fn txn_offset_commit(&self, offsets: TxnOffsetCommitRequest) -> Result<Vec<TxnOffsetCommitResponseTopic>>;
    async fn txn_end(
        &self, transaction_id: &str, producer_id: i64, producer_epoch: i16, committed: bool
    ) -> Result<ErrorCode>;
    async fn cluster_id(&self) -> Result<String>;
    async fn node(&self) -> Result<i32>;
    async fn advertised_listener(&self) -> Result<Url>;
    async fn ping(&self) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_path_becomes_a_url_and_any_other_one_is_linked() {
        let (url, link) = storage_url(Path::new("/var/data/event_log.db")).expect("a plain path");
        assert_eq!(url.path(), "//var/data/event_log.db");
        assert!(link.is_none());

        for odd in ["/var/da ta/event_log.db", "/var/jörg/event_log.db", "/var/a#b/event_log.db", "/var/a?b/e.db"] {
            assert!(plain_url(Path::new(odd)).is_none(), "{odd}");
        }
    }
}
