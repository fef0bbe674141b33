//! [`Asset`]: a file in the binary, served with its entity tag.

use std::sync::Arc;

use bytes::Bytes;
use poem::endpoint::make;
use poem::http::{HeaderMap, HeaderValue, StatusCode, header};
use poem::web::CompressionAlgo;
use poem::{Request, Response, RouteMethod};

use crate::answer::{client_has, entity_tag};
use crate::encoding::{Forms, choose, is_compressible, name};

/// A file.
#[derive(Debug, Clone)]
pub(crate) struct Asset {
    /// With its charset.
    pub(crate) content_type: &'static str,
    /// What it is.
    pub(crate) body: Bytes,
    /// For pages: what they may load and do.
    pub(crate) content_security_policy: Option<&'static str>,
    /// How long a browser may keep it.
    pub(crate) lifetime: Lifetime,
}

/// How long a browser may keep a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// It asks each time: a new version of the binary shows at once, and unchanged files cost a 304.
    UntilChanged,
    /// The name holds a fingerprint of the content.
    ForEver,
}

impl Lifetime {
    fn cache_control(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Lifetime::UntilChanged => "no-cache",
            Lifetime::ForEver => "public, max-age=31536000, immutable",
        })
    }
}

impl Asset {
    fn respond(&self, etag: &str, request: &HeaderMap, compressed: Option<(CompressionAlgo, Bytes)>) -> Response {
        let mut response = match compressed {
            _ if client_has(request, etag) => Response::builder().status(StatusCode::NOT_MODIFIED).finish(),
            None => Response::builder().content_type(self.content_type).body(self.body.clone()),
            Some((algorithm, body)) => Response::builder()
                .content_type(self.content_type)
                .header(header::CONTENT_ENCODING, name(algorithm))
                .body(body),
        };
        let headers = response.headers_mut();
        if let Ok(etag) = HeaderValue::from_str(etag) {
            headers.insert(header::ETAG, etag);
        }
        headers.insert(header::CACHE_CONTROL, self.lifetime.cache_control());
        if let Some(policy) = self.content_security_policy {
            headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
            headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        }
        response
    }

    /// Serves it to GET and HEAD.
    pub(crate) fn route(self) -> RouteMethod {
        let served = Arc::new(Served {
            etag: entity_tag(&self.body),
            asset: self,
            forms: Forms::default(),
        });
        poem::get(make(move |request: Request| {
            let served = Arc::clone(&served);
            async move { served.respond(request.headers()).await }
        }))
    }
}

/// A file, and what it is when compressed: megabytes are not worked through for every visitor.
struct Served {
    asset: Asset,
    etag: String,
    forms: Forms,
}

impl Served {
    async fn respond(&self, request: &HeaderMap) -> Response {
        let is_worth_it = is_compressible(self.asset.content_type) && !client_has(request, &self.etag);
        let compressed = match choose(request).filter(|_| is_worth_it) {
            Some(algorithm) => {
                let form = self.forms.get(&self.asset.body, algorithm).await;
                form.map(|form| (algorithm, form))
            }
            None => None,
        };
        self.asset.respond(&self.etag, request, compressed)
    }
}
