//! [`Asset`]: a file in the binary, served with its entity tag.

use bytes::Bytes;
use poem::http::{HeaderValue, StatusCode, header};
use poem::{Endpoint, Request, Response, RouteMethod, endpoint::make_sync};

use crate::answer::{client_has, entity_tag};

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
    fn respond(&self, etag: &str, request: &Request) -> Response {
        let mut response = if client_has(request.headers(), etag) {
            Response::builder().status(StatusCode::NOT_MODIFIED).finish()
        } else {
            Response::builder().content_type(self.content_type).body(self.body.clone())
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
        let etag = entity_tag(&self.body);
        poem::get(serve(self, etag))
    }
}

fn serve(asset: Asset, etag: String) -> impl Endpoint<Output = Response> + 'static {
    make_sync(move |request| asset.respond(&etag, &request))
}
