//! [`Problem`]: everything that goes wrong, as RFC 9457 problem. The only place that turns errors into answers.

use poem::Response;
use poem::http::{HeaderValue, StatusCode, header};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type as _;
use poem_openapi::{ApiResponse, Object};
use serde::Serialize;
use shared::ports::catalog::CatalogError;

/// Clients are asked to come back after this many seconds.
const RETRY_AFTER_SECONDS: u64 = 5;

/// The media type of problems.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// What is wrong, by what the client can do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// A parameter is unknown, repeated, empty or malformed.
    #[error("parameter {name}: {reason}")]
    Parameter { name: String, reason: String },
    /// A field of the request's body is missing or malformed.
    #[error("field {name}: {reason}")]
    Field { name: String, reason: String },
    /// The question cannot be answered as it is put.
    #[error("{reason}")]
    Question { reason: String },
    /// There is no such path.
    #[error("there is nothing at {path}")]
    NoSuchPath { path: String },
    /// There is no such thing.
    #[error("{what} is not known")]
    NotKnown { what: String },
    /// It cannot be done to the thing as it is now.
    #[error("{reason}")]
    Conflict { reason: String },
    /// A page of another site wants something done.
    #[error("pages of {origin} may not change anything here")]
    Foreign { origin: String },
    /// The path exists, but not with this method.
    #[error("{method} is not possible here, but {allow}")]
    Method { method: String, allow: String },
    /// The name asked for is none of this computer's: a page elsewhere may have been pointed here.
    #[error("this API listens on this computer only and is not {host}: ask for localhost or 127.0.0.1")]
    Host { host: String },
    /// No operation takes a body this large.
    #[error("the request's body is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    /// The catalog is away and no earlier answer is held.
    #[error("the catalog does not answer at the moment")]
    CatalogAway,
    /// It took too long.
    #[error("no answer was ready within {seconds} seconds")]
    TooSlow { seconds: u64 },
    /// A mistake of ours.
    #[error("something went wrong here; the log has more under this request's id")]
    Internal,
    /// The HTTP library refuses the request.
    #[error("the request is refused: {reason}")]
    Refused { status: StatusCode, reason: String },
}

impl Problem {
    /// A parameter that cannot be used.
    pub(crate) fn parameter(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Problem::Parameter {
            name: name.into(),
            reason: reason.into(),
        }
    }

    /// A field that cannot be used.
    pub(crate) fn field(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Problem::Field {
            name: name.into(),
            reason: reason.into(),
        }
    }

    /// What a thing as it is now does not allow.
    pub(crate) fn conflict(reason: impl Into<String>) -> Self {
        Problem::Conflict { reason: reason.into() }
    }

    /// A question that cannot be answered.
    pub(crate) fn question(reason: impl Into<String>) -> Self {
        Problem::Question { reason: reason.into() }
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Problem::Parameter { .. } | Problem::Field { .. } | Problem::Question { .. } => StatusCode::BAD_REQUEST,
            Problem::NoSuchPath { .. } | Problem::NotKnown { .. } => StatusCode::NOT_FOUND,
            Problem::Conflict { .. } => StatusCode::CONFLICT,
            Problem::Foreign { .. } => StatusCode::FORBIDDEN,
            Problem::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Problem::Host { .. } => StatusCode::MISDIRECTED_REQUEST,
            Problem::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Problem::CatalogAway | Problem::TooSlow { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Problem::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Problem::Refused { status, .. } => *status,
        }
    }

    /// The answer, with the request's id.
    pub(crate) fn to_response(&self, request_id: &str) -> Response {
        let status = self.status();
        let document = ProblemDocument {
            kind: "about:blank".into(),
            title: status.canonical_reason().unwrap_or("Error").into(),
            status: status.as_u16(),
            detail: self.to_string(),
            request_id: request_id.into(),
        };
        let body = serde_json::to_vec(&document).expect("a problem is a plain struct");
        let mut response = Response::builder().status(status).content_type(PROBLEM_JSON).body(body);
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Problem::Method { allow, .. } => {
                if let Ok(allow) = HeaderValue::from_str(allow) {
                    headers.insert(header::ALLOW, allow);
                }
            }
            Problem::CatalogAway | Problem::TooSlow { .. } => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
            }
            _ => {}
        }
        response
    }

    /// What the router or an extractor of the HTTP library had to say; `path` and `method` are the request's.
    pub(crate) fn of_error(error: &poem::Error, method: &str, path: &str) -> Self {
        if let Some(problem) = error.downcast_ref::<Problem>() {
            return problem.clone();
        }
        match error.status() {
            StatusCode::NOT_FOUND => Problem::NoSuchPath { path: path.into() },
            StatusCode::METHOD_NOT_ALLOWED => Problem::Method {
                method: method.into(),
                allow: "GET, HEAD".into(),
            },
            status if status.is_client_error() => Problem::Refused {
                status,
                reason: error.to_string(),
            },
            _ => {
                tracing::error!(error = %error, path, "request failed");
                Problem::Internal
            }
        }
    }
}

/// Why nothing could be fetched from the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FetchError {
    /// The catalog is away or not usable: an earlier answer may do.
    Away { reason: String },
    /// What the client gets in any case.
    Problem(Problem),
}

impl From<CatalogError> for FetchError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Unavailable { reason } | CatalogError::Misconfigured { reason } => FetchError::Away { reason },
            CatalogError::InvalidCursor { reason } => FetchError::Problem(Problem::parameter("cursor", reason)),
        }
    }
}

impl From<Problem> for FetchError {
    fn from(problem: Problem) -> Self {
        FetchError::Problem(problem)
    }
}

impl From<FetchError> for Problem {
    /// The catalog's own words go to the log: they may name hosts that are no client's business.
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Away { reason } => {
                tracing::debug!(reason, "catalog is away and no earlier answer is held");
                Problem::CatalogAway
            }
            FetchError::Problem(problem) => problem,
        }
    }
}

impl From<Problem> for poem::Error {
    fn from(problem: Problem) -> Self {
        let status = problem.status();
        poem::Error::new(problem, status)
    }
}

/// What went wrong (RFC 9457).
#[derive(Debug, Clone, Object, Serialize)]
#[oai(rename = "Problem")]
pub(crate) struct ProblemDocument {
    /// Kind of the problem, a URI reference; `about:blank` where the status says it all.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    kind: String,
    /// The HTTP status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this very request; names the parameter where it is one.
    detail: String,
    /// The request's id, as in the header `x-request-id`: operators find the request by it.
    request_id: String,
}

fn problem_responses(answers: &[(u16, &'static str)]) -> MetaResponses {
    let response = |&(status, description): &(u16, &'static str)| MetaResponse {
        description,
        status: Some(status),
        status_range: None,
        content: vec![MetaMediaType {
            content_type: PROBLEM_JSON,
            schema: ProblemDocument::schema_ref(),
        }],
        headers: vec![],
    };
    MetaResponses {
        responses: answers.iter().map(response).collect(),
    }
}

const BAD_PARAMETER: (u16, &str) = (400, "A parameter is unknown, repeated, empty or malformed; `detail` names it.");
const BAD_BODY: (u16, &str) = (400, "A field of the body is missing, unknown or malformed; `detail` names it.");
const NOT_KNOWN: (u16, &str) = (404, "There is no such thing.");
const CONFLICT: (u16, &str) = (409, "It cannot be done to the thing as it is now; `detail` says why.");
const AWAY: (u16, &str) = (
    503,
    "The catalog is away and no earlier answer is held; `Retry-After` says when to ask again, in seconds.",
);

/// Declares how an operation fails, for the document; all of them travel as [`Problem`].
macro_rules! failure {
    ($(#[$docs:meta])* $name:ident, $answers:expr) => {
        $(#[$docs])*
        #[derive(Debug)]
        pub(crate) struct $name(pub(crate) Problem);

        impl From<Problem> for $name {
            fn from(problem: Problem) -> Self {
                $name(problem)
            }
        }

        impl From<$name> for poem::Error {
            fn from(failure: $name) -> Self {
                failure.0.into()
            }
        }

        impl ApiResponse for $name {
            fn meta() -> MetaResponses {
                problem_responses(&$answers)
            }

            fn register(registry: &mut Registry) {
                ProblemDocument::register(registry);
            }
        }
    };
}

failure!(
    /// Failures of a list.
    ListFailure,
    [BAD_PARAMETER, AWAY]
);
failure!(
    /// Failures of a question that comes in a body.
    QuestionFailure,
    [BAD_BODY, AWAY]
);
failure!(
    /// Failures of a single thing.
    ItemFailure,
    [BAD_PARAMETER, NOT_KNOWN, AWAY]
);
failure!(
    /// Failures of making a thing.
    MakingFailure,
    [BAD_BODY, CONFLICT, AWAY]
);
failure!(
    /// Failures of changing a thing by a body.
    ChangeFailure,
    [BAD_BODY, NOT_KNOWN, CONFLICT, AWAY]
);
failure!(
    /// Failures of doing something to a thing.
    DeedFailure,
    [BAD_PARAMETER, NOT_KNOWN, CONFLICT, AWAY]
);
