//! The contract of the event log: one suite over the embedded broker, and over a real Kafka where `KAFKA_BROKERS` is set.

/// Each of these over the embedded broker, and over a real Kafka where there is one.
macro_rules! over_every_broker {
    ($($test:ident,)*) => {
        mod embedded {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(crate::event_log::bench::Bench::embedded().await).await;
                }
            )*
        }
        mod kafka {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    if let Some(bench) = crate::event_log::bench::Bench::real() {
                        super::$test(bench).await;
                    }
                }
            )*
        }
    };
}

mod bench;
mod cluster;
mod contract;
mod embedded;
mod mock;
mod ownership;
mod processes;
mod reading;
mod real;
mod start;
#[cfg(feature = "kafka-tls")]
mod tls;
