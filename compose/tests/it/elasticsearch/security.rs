//! Who sends, how it is packed, and whom the adapter trusts.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use shared::adapters::elastic::{ElasticCatalog, ElasticConfig};
use shared::config::Environment;
use shared::ports::Catalog as _;
use shared::ports::catalog::CatalogError;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use super::script::Fault;
use super::server::Server;

const SECRET: &str = "correct-horse-battery";

/// A catalog over this server with these variables set.
fn connect(url: &str, variables: &[(&str, &str)]) -> ElasticCatalog {
    let environment = Environment::of([("ELASTICSEARCH_URL", url)].iter().chain(variables).copied());
    let config = ElasticConfig::read(&environment);
    let config = environment.finish(config).expect("valid settings").expect("an address is set");
    ElasticCatalog::connect(config).expect("a client")
}

#[tokio::test]
async fn every_request_says_who_sends_it_and_nothing_else_does() {
    // Base64 of what stands before.
    for (variables, expected) in [
        (vec![], None),
        (vec![("ELASTICSEARCH_API_KEY", SECRET)], Some(format!("ApiKey {SECRET}"))),
        (
            vec![("ELASTICSEARCH_API_KEY", "the-id:correct-horse-battery")],
            Some("ApiKey dGhlLWlkOmNvcnJlY3QtaG9yc2UtYmF0dGVyeQ==".to_owned()),
        ),
        (
            vec![("ELASTICSEARCH_USERNAME", "enricher"), ("ELASTICSEARCH_PASSWORD", SECRET)],
            Some("Basic ZW5yaWNoZXI6Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5".to_owned()),
        ),
    ] {
        let server = Server::start().await;
        let catalog = connect(server.url().as_str(), &variables);
        catalog.prepare().await.expect("prepared");
        catalog.check().await.expect("checked");
        let requests = server.requests();
        assert!(requests.len() > 10);
        for request in requests {
            assert_eq!(request.headers.get("authorization"), expected.as_ref(), "{} {}", request.method, request.path);
        }
        // Neither what is shown for debugging nor an error tells it, whatever the server says.
        server.go_by(|_| Fault::error(401, "security_exception", "unable to authenticate"));
        let refused = catalog.check().await.expect_err("refused");
        server.stop().await;
        let away = catalog.check().await.expect_err("away");
        let said = format!("{catalog:?} {refused} {refused:?} {away} {away:?}");
        assert!(!said.contains(SECRET) && !said.contains("correct-horse"), "{said}");
    }
}

#[tokio::test]
async fn what_goes_to_another_machine_is_compressed_and_what_stays_here_is_not() {
    let server = Server::start().await;
    // This machine, by an address that does not say so.
    let far = format!("http://0.0.0.0:{}", server.address.port());
    connect(&far, &[]).prepare().await.expect("prepared");
    let packed = server.requests();
    let mut bytes = (0, 0);
    for request in packed.iter().filter(|request| !request.body.is_empty()) {
        assert_eq!(request.headers.get("content-encoding").map(String::as_str), Some("gzip"), "{}", request.path);
        bytes = (bytes.0 + request.wire_bytes, bytes.1 + request.body.len());
    }
    assert!(bytes.1 > 5_000 && bytes.0 < bytes.1 / 2, "{bytes:?}");
    connect(server.url().as_str(), &[]).prepare().await.expect("prepared");
    for request in &server.requests()[packed.len()..] {
        assert_eq!(request.headers.get("content-encoding"), None, "{}", request.path);
    }
}

/// An authority, and a server whose certificate it signed.
struct Signed {
    authority: tempfile::NamedTempFile,
    acceptor: TlsAcceptor,
}

fn signed() -> Signed {
    let key = || KeyPair::generate().expect("a key");
    let mut of_authority = CertificateParams::new(Vec::new()).expect("parameters");
    of_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Authorities of one name would be taken for one another until the signature is looked at.
    let name = format!("Authority {:x}", rand::random::<u64>());
    of_authority.distinguished_name.push(DnType::CommonName, name);
    let authority = CertifiedIssuer::self_signed(of_authority, key()).expect("an authority");
    let own_key = key();
    let own = CertificateParams::new(vec![IpAddr::V4(Ipv4Addr::LOCALHOST).to_string()]).expect("parameters");
    let own = own.signed_by(&own_key, &authority).expect("a certificate");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], PrivatePkcs8KeyDer::from(own_key.serialize_der()).into())
        .expect("a certificate and its key");
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(authority.pem().as_bytes()).expect("written");
    Signed {
        authority: file,
        acceptor: TlsAcceptor::from(Arc::new(config)),
    }
}

#[tokio::test]
async fn a_server_is_trusted_by_the_authority_that_the_settings_name_and_by_no_other() {
    let (ours, theirs) = (signed(), signed());
    let server = Server::start_with_tls(ours.acceptor).await;
    let authority = |signed: &tempfile::NamedTempFile| signed.path().display().to_string();
    let url = server.url();
    connect(url.as_str(), &[("ELASTICSEARCH_CA", &authority(&ours.authority))])
        .prepare()
        .await
        .expect("a trusted server");
    assert!(!server.requests().is_empty());
    let seen = server.requests().len();
    for variables in [vec![], vec![("ELASTICSEARCH_CA", authority(&theirs.authority))]] {
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let refused = connect(url.as_str(), &variables).check().await;
        assert!(
            matches!(&refused, Err(CatalogError::Misconfigured { reason }) if reason.contains("certificate") && reason.contains("UnknownIssuer")),
            "{refused:?}"
        );
    }
    assert_eq!(server.requests().len(), seen, "nothing was sent to a server that is not trusted");
}

#[test]
fn a_certificate_file_that_is_none_is_refused_before_anything_is_sent() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "no certificate").expect("written");
    let config = ElasticConfig {
        certificate_authority: Some(file.path().to_owned()),
        ..ElasticConfig::open("https://127.0.0.1:1".parse().expect("a URL"))
    };
    assert!(matches!(ElasticCatalog::connect(config), Err(CatalogError::Misconfigured { .. })));
}
