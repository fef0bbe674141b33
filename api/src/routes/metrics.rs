//! `/metrics`: the whole process, for Prometheus.

use poem::{IntoResponse, Response};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::{ApiResponse, OpenApi};
use shared::telemetry::prometheus_text;

use super::Group;

const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The handlers.
pub(crate) struct MetricsRoutes;

/// Metrics as text.
struct Metrics(String);

impl IntoResponse for Metrics {
    fn into_response(self) -> Response {
        Response::builder().content_type(PROMETHEUS).body(self.0)
    }
}

impl ApiResponse for Metrics {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "Prometheus text format.",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: PROMETHEUS,
                    schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
                }],
                headers: vec![],
            }],
        }
    }

    fn register(_registry: &mut Registry) {}
}

#[OpenApi(tag = "Group::Operations")]
impl MetricsRoutes {
    /// Metrics
    ///
    /// Everything the process counts, in Prometheus' text format.
    #[oai(path = "/metrics", method = "get", operation_id = "get_metrics")]
    async fn metrics(&self) -> Metrics {
        Metrics(prometheus_text())
    }
}
