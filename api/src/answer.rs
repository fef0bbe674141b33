//! [`Answer`]: a JSON document ready to be sent, and how it is sent: `ETag`, `Age`, 304, and a warning if it is stale.
//!
//! Whatever has to be made of a document is made once, however often it is sent: its bytes, its tag, its compressed forms.

use std::hash::{DefaultHasher, Hasher as _};
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use poem::http::{HeaderMap, HeaderValue, StatusCode, header};
use poem::web::CompressionAlgo;
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use serde::Serialize;
use shared::domain::UnixMillis;

use crate::cache::{Held, Keep};
use crate::encoding::Forms;

/// The media type of answers.
const JSON: &str = "application/json; charset=utf-8";

/// A document as bytes, with its entity tag. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Answer(Arc<Document>);

#[derive(Debug)]
struct Document {
    body: Bytes,
    etag: String,
    etag_header: Option<HeaderValue>,
    forms: Forms,
}

impl Answer {
    /// Writes a document.
    pub(crate) fn of(document: &impl Serialize) -> Self {
        let body = serde_json::to_vec(document).expect("documents are plain structs with string keys");
        let etag = entity_tag(&body);
        Answer(Arc::new(Document {
            etag_header: HeaderValue::from_str(&etag).ok(),
            etag,
            body: body.into(),
            forms: Forms::default(),
        }))
    }

    /// The body in this form; none where it is not worth it.
    pub(crate) async fn compressed(&self, algorithm: CompressionAlgo) -> Option<Bytes> {
        self.0.forms.get(&self.0.body, algorithm).await
    }
}

/// Weak, since the same document goes out compressed and not. The hash is the same in every process of one build.
pub(crate) fn entity_tag(body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    format!("W/\"{:016x}\"", hasher.finish())
}

/// Whether the client has what carries this tag (RFC 9110, weak comparison).
pub(crate) fn client_has(headers: &HeaderMap, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().strip_prefix("W/").unwrap_or(tag.trim()).to_owned();
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag))
}

impl Keep for Answer {
    fn weight(&self) -> usize {
        // Compressed forms take a quarter of it, both together.
        self.0.body.len() * 5 / 4 + self.0.etag.len()
    }

    async fn follow(&self, earlier: &Self) {
        let is_same = self.0.body == earlier.0.body;
        self.0.forms.follow(&self.0.body, &earlier.0.forms, is_same).await;
    }
}

/// How an operation answers with a `T`.
pub(crate) struct Answered<T> {
    response: Response,
    document: PhantomData<fn() -> T>,
}

impl<T> Answered<T> {
    /// The answer to a request with these headers.
    pub(crate) fn new(held: Held<Answer>, request: &HeaderMap, now: UnixMillis) -> Self {
        let document = &held.value.0;
        let mut response = if client_has(request, &document.etag) {
            Response::builder().status(StatusCode::NOT_MODIFIED).finish()
        } else {
            Response::builder().content_type(JSON).body(document.body.clone())
        };
        let age_seconds = now.millis_since(held.as_of).max(0) / 1_000;
        let headers = response.headers_mut();
        if let Some(etag) = &document.etag_header {
            headers.insert(header::ETAG, etag.clone());
        }
        headers.insert(header::AGE, HeaderValue::from(age_seconds));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if held.is_stale {
            headers.insert(header::WARNING, HeaderValue::from_static("110 - \"Response is Stale\""));
        }
        // Whoever compresses it finds the form that is made already.
        response.set_data(held.value);
        Answered {
            response,
            document: PhantomData,
        }
    }
}

impl<T> IntoResponse for Answered<T> {
    fn into_response(self) -> Response {
        self.response
    }
}

impl<T: Type> ApiResponse for Answered<T> {
    fn meta() -> MetaResponses {
        let header = |name: &str, ty, description: &str, required| MetaHeader {
            name: name.into(),
            description: Some(description.into()),
            required,
            deprecated: false,
            schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new(ty))),
        };
        let headers = || {
            vec![
                header("ETag", "string", "Names this very document; send it back as `If-None-Match`.", true),
                header("Age", "integer", "Seconds since the catalog was asked.", true),
                header("Warning", "string", "`110 - \"Response is Stale\"` while the catalog is away.", false),
            ]
        };
        MetaResponses {
            responses: vec![
                MetaResponse {
                    description: "The answer.",
                    status: Some(200),
                    status_range: None,
                    content: vec![MetaMediaType {
                        content_type: JSON,
                        schema: T::schema_ref(),
                    }],
                    headers: headers(),
                },
                MetaResponse {
                    description: "The client has this document: its `If-None-Match` names it.",
                    status: Some(304),
                    status_range: None,
                    content: vec![],
                    headers: headers(),
                },
            ],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly_and_may_be_listed() {
        let etag = entity_tag(b"{}");
        let strong = etag.trim_start_matches("W/").to_owned();
        for (sent, expected) in [
            (etag.clone(), true),
            (strong, true),
            (format!("\"x\", {etag}"), true),
            ("*".into(), true),
            ("\"x\"".into(), false),
            (String::new(), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_str(&sent).unwrap());
            assert_eq!(client_has(&headers, &etag), expected, "{sent:?}");
        }
        assert!(!client_has(&HeaderMap::new(), &etag));
    }
}
