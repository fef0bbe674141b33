//! Logs to standard error, traces to an OpenTelemetry collector where one is configured, metrics as Prometheus text.

use std::io::IsTerminal as _;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::config::Environment;

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// What telemetry needs to know.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// Name of the service in traces.
    pub service: &'static str,
    /// `RUST_LOG` directives.
    pub filter: String,
    /// `LOG_FORMAT`.
    pub format: LogFormat,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`; none = traces stay in the process.
    pub otlp_endpoint: Option<String>,
}

impl TelemetryConfig {
    /// Reads `RUST_LOG`, `LOG_FORMAT` and `OTEL_EXPORTER_OTLP_ENDPOINT`.
    #[must_use]
    pub fn read(environment: &Environment, service: &'static str, default_filter: &str) -> Self {
        let filter = environment.parsed("RUST_LOG", default_filter.to_owned(), "log directives such as info,enricher=debug", |text| {
            EnvFilter::try_new(text).ok().map(|_| text.to_owned())
        });
        let format = environment.parsed("LOG_FORMAT", LogFormat::Pretty, "json or pretty", |text| match text {
            "json" => Some(LogFormat::Json),
            "pretty" => Some(LogFormat::Pretty),
            _ => None,
        });
        let otlp_endpoint = environment.parsed("OTEL_EXPORTER_OTLP_ENDPOINT", None, "an http(s) URL", |text| {
            let url = url::Url::parse(text).ok()?;
            matches!(url.scheme(), "http" | "https").then(|| Some(text.to_owned()))
        });
        TelemetryConfig {
            service,
            filter,
            format,
            otlp_endpoint,
        }
    }
}

/// Flushes what is pending when dropped.
#[must_use = "telemetry is flushed when this is dropped"]
#[derive(Debug)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = self.provider.take()
            && let Err(error) = provider.shutdown()
        {
            eprintln!("traces could not be flushed: {error}");
        }
    }
}

/// Installs the global subscriber; logs go to standard error.
///
/// # Errors
/// If one is installed already, or the exporter cannot be built.
pub fn init(config: &TelemetryConfig) -> anyhow::Result<Telemetry> {
    init_with_writer(config, std::io::stderr)
}

/// As [`init`], with logs going to a writer of the caller's.
///
/// # Errors
/// As [`init`].
pub fn init_with_writer<W>(config: &TelemetryConfig, writer: W) -> anyhow::Result<Telemetry>
where
    W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&config.filter)?;
    // Colours are for people: not in a file or a pipe.
    let logs = tracing_subscriber::fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(writer);
    let logs = match config.format {
        LogFormat::Json => logs.json().flatten_event(true).boxed(),
        LogFormat::Pretty => logs.with_target(true).boxed(),
    };
    let provider = match &config.otlp_endpoint {
        None => None,
        Some(endpoint) => {
            use opentelemetry_otlp::WithExportConfig as _;
            let exporter = opentelemetry_otlp::SpanExporter::builder()
                .with_http()
                .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
                .build()?;
            let resource = Resource::builder().with_service_name(config.service).build();
            Some(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
        }
    };
    let traces = provider
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer(config.service)));
    tracing_subscriber::registry().with(filter).with(logs).with(traces).try_init()?;
    Ok(Telemetry { provider })
}

/// All metrics of the process as Prometheus text.
#[must_use]
pub fn prometheus_text() -> String {
    let encoder = prometheus::TextEncoder::new();
    encoder
        .encode_to_string(&prometheus::gather())
        .unwrap_or_else(|error| format!("# metrics cannot be encoded: {error}\n"))
}
