//! W3C trace context in record headers, with or without a collector.

use opentelemetry::trace::TraceContextExt as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The header's name.
pub const TRACEPARENT: &str = "traceparent";

/// A W3C `traceparent`: which trace a record belongs to and which step wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace_id: u128,
    span_id: u64,
}

impl TraceParent {
    /// The start of a new trace.
    pub fn random() -> TraceParent {
        TraceParent {
            trace_id: non_zero(rand::random),
            span_id: non_zero(rand::random),
        }
    }

    /// The span at work, where spans are collected; else the start of a new trace.
    pub fn current_or_new() -> TraceParent {
        let context = tracing::Span::current().context();
        let span = context.span();
        let span = span.span_context();
        if span.is_valid() {
            TraceParent {
                trace_id: u128::from_be_bytes(span.trace_id().to_bytes()),
                span_id: u64::from_be_bytes(span.span_id().to_bytes()),
            }
        } else {
            TraceParent::random()
        }
    }

    /// A step of the same trace.
    #[must_use]
    pub fn child(self) -> TraceParent {
        TraceParent {
            trace_id: self.trace_id,
            span_id: non_zero(rand::random),
        }
    }

    /// Reads a header's value; `None` where it breaks the format or carries an all-zero id, which W3C calls invalid.
    pub fn parse(value: &[u8]) -> Option<TraceParent> {
        let value = std::str::from_utf8(value).ok()?;
        let mut fields = value.split('-');
        let (version, trace_id, span_id, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        // Version 00 has exactly four fields; a later one may append more.
        if !is_lower_hex(version, 2) || version == "ff" || (version == "00" && fields.next().is_some()) {
            return None;
        }
        if !is_lower_hex(trace_id, 32) || !is_lower_hex(span_id, 16) || !is_lower_hex(flags, 2) {
            return None;
        }
        let trace_id = u128::from_str_radix(trace_id, 16).ok()?;
        let span_id = u64::from_str_radix(span_id, 16).ok()?;
        (trace_id != 0 && span_id != 0).then_some(TraceParent { trace_id, span_id })
    }

    /// The header's value, sampled.
    pub fn to_header(self) -> Vec<u8> {
        format!("00-{:032x}-{:016x}-01", self.trace_id, self.span_id).into_bytes()
    }

    /// The trace.
    pub fn trace_id(self) -> u128 {
        self.trace_id
    }

    /// The step.
    pub fn span_id(self) -> u64 {
        self.span_id
    }
}

/// All-zero ids are invalid, so a random one that happens to be zero is drawn again.
fn non_zero<T: Default + PartialEq>(draw: impl Fn() -> T) -> T {
    loop {
        let id = draw();
        if id != T::default() {
            return id;
        }
    }
}

fn is_lower_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_reads_back_what_it_wrote() {
        let written = TraceParent::random();
        assert_eq!(TraceParent::parse(&written.to_header()), Some(written));
        assert_eq!(written.to_header().len(), 55);
    }

    #[test]
    fn what_w3c_calls_invalid_is_refused() {
        let ok = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(TraceParent::parse(ok.as_bytes()).is_some());
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceParent::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
