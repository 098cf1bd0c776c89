//! Where the database is: a directory, or a bucket with or without a DynamoDB table. Decided from flags and
//! environment, the same way for every command.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use clap::Args;
use storage::aws::{AwsSettings, Endpoints, S3Location};

/// The directory when nothing is said.
const DIRECTORY: &str = "./data";
/// The bucket when only an endpoint is said.
const BUCKET: &str = "genai-vectors";
/// The region of servers that have none.
const REGION: &str = "us-east-1";

/// Flags that say where the database is.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlaceArgs {
    /// Where the database is: a directory, or s3://BUCKET or s3://BUCKET/PREFIX. Without it s3://genai-vectors when
    /// AWS_ENDPOINT_URL names a MinIO or another S3 server, else ./data.
    #[arg(long, env = "GENAI_VECTORS_STORAGE")]
    storage: Option<String>,
    /// DynamoDB table that keeps the catalog of a new database in a bucket, instead of the bucket itself.
    #[arg(long, env = "GENAI_VECTORS_TABLE")]
    table: Option<String>,
}

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
pub(crate) enum Place {
    /// In a directory.
    Directory(String),
    /// In a bucket.
    Bucket(BucketPlace),
}

/// A database in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BucketPlace {
    /// Where in which bucket.
    pub(crate) location: S3Location,
    /// The table of its catalog; `None`: documents in the bucket.
    pub(crate) table: Option<String>,
    /// Region and endpoints.
    pub(crate) aws: AwsSettings,
}

impl Place {
    /// What flags and environment say; an explicit `--storage` (or its variable) beats `AWS_ENDPOINT_URL`.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(crate) fn of(args: &PlaceArgs, environment: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let endpoints = Endpoints::from_variables(&environment);
        let storage = match &args.storage {
            Some(storage) => storage.clone(),
            None if endpoints.s3.is_some() => format!("s3://{BUCKET}"),
            None => DIRECTORY.to_owned(),
        };
        if !storage.contains("://") {
            if let Some(table) = &args.table {
                return Err(format!(
                    "--table {table} needs a bucket: --storage s3://BUCKET, not {storage}"
                ));
            }
            return Ok(Self::Directory(storage));
        }
        let location: S3Location = storage.parse().map_err(|error| format!("--storage {error}"))?;
        let region = environment("AWS_REGION").or_else(|| environment("AWS_DEFAULT_REGION"));
        let elsewhere = endpoints.s3.is_some().then(|| REGION.to_owned());
        let aws = AwsSettings {
            region: region.or(elsewhere),
            endpoints,
            ..AwsSettings::default()
        };
        let table = args.table.clone();
        Ok(Self::Bucket(BucketPlace { location, table, aws }))
    }

    /// Refuses an endpoint that is this server itself: the variable was meant for its clients.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(crate) fn refuse_own_address(&self, host: &str, port: u16) -> Result<(), String> {
        let Self::Bucket(BucketPlace { aws, .. }) = self else {
            return Ok(());
        };
        for endpoint in [&aws.endpoints.s3, &aws.endpoints.dynamodb].into_iter().flatten() {
            if is_own(endpoint, host, port) {
                return Err(format!(
                    "the endpoint {endpoint} is this server's own address: set AWS_ENDPOINT_URL to your S3 server, or \
                     unset it to keep the database in a directory"
                ));
            }
        }
        Ok(())
    }
}

/// Whether a server that listens on this address is the one that the URL names.
fn is_own(endpoint: &str, host: &str, port: u16) -> bool {
    let (scheme, rest) = endpoint.split_once("://").unwrap_or(("http", endpoint));
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let default = if scheme == "https" { 443 } else { 80 };
    let (named, at) = match authority.rsplit_once(':') {
        Some((named, digits)) if !digits.contains(']') => (named, digits.parse().unwrap_or(default)),
        _ => (authority, default),
    };
    let named = named.trim_matches(['[', ']']);
    at == port && (named.eq_ignore_ascii_case(host) || (is_here(named) && is_here(host)))
}

/// Whether a host is this machine, by its loopback or by all addresses.
fn is_here(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => address.is_loopback() || address == Ipv6Addr::UNSPECIFIED,
        Ok(address) => address.is_loopback() || address.is_unspecified(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(directory) => f.write_str(directory),
            Self::Bucket(BucketPlace { location, .. }) => location.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(storage: Option<&str>, table: Option<&str>, variables: &[(&str, &str)]) -> Result<Place, String> {
        let args = PlaceArgs {
            storage: storage.map(str::to_owned),
            table: table.map(str::to_owned),
        };
        Place::of(&args, |name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    const MINIO: (&str, &str) = ("AWS_ENDPOINT_URL", "http://localhost:9000");

    #[test]
    fn what_is_said_beats_the_environment() {
        let shown = |place: Result<Place, String>| place.unwrap().to_string();
        assert_eq!(shown(place(None, None, &[])), "./data");
        assert_eq!(shown(place(None, None, &[MINIO])), "s3://genai-vectors");
        assert_eq!(shown(place(Some("here"), None, &[MINIO])), "here");
        assert_eq!(shown(place(Some("s3://b/p"), None, &[MINIO])), "s3://b/p");
        assert_eq!(shown(place(Some("s3://b/p"), Some("t"), &[])), "s3://b/p");
    }

    #[test]
    fn servers_without_regions_get_one() {
        let region = |variables: &[(&str, &str)]| match place(Some("s3://b"), None, variables).unwrap() {
            Place::Bucket(bucket) => bucket.aws.region,
            Place::Directory(_) => panic!("a bucket"),
        };
        assert_eq!(region(&[MINIO]).as_deref(), Some("us-east-1"));
        assert_eq!(
            region(&[MINIO, ("AWS_REGION", "eu-west-1")]).as_deref(),
            Some("eu-west-1")
        );
        assert_eq!(
            region(&[("AWS_DEFAULT_REGION", "eu-west-1")]).as_deref(),
            Some("eu-west-1")
        );
        assert_eq!(region(&[]), None, "as the SDK finds it");
    }

    #[test]
    fn mistakes_are_named() {
        for (storage, table, hint) in [
            (Some("http://localhost:9000/b"), None, "s3://BUCKET"),
            (Some("s3://"), None, "s3://BUCKET"),
            (Some("./data"), Some("t"), "--storage s3://BUCKET"),
            (None, Some("t"), "--storage s3://BUCKET"),
        ] {
            let error = place(storage, table, &[]).unwrap_err();
            assert!(error.contains(hint), "{error}");
        }
    }

    #[test]
    fn its_own_address_is_no_storage() {
        for (endpoint, host, port, own) in [
            ("http://localhost:8080", "127.0.0.1", 8080, true),
            ("http://127.0.0.1:8080/", "localhost", 8080, true),
            ("http://[::1]:8080", "0.0.0.0", 8080, true),
            ("http://box.example:8080", "box.example", 8080, true),
            ("http://localhost", "127.0.0.1", 80, true),
            ("https://localhost", "127.0.0.1", 443, true),
            ("http://localhost:9000", "127.0.0.1", 8080, false),
            ("http://minio:8080", "127.0.0.1", 8080, false),
        ] {
            assert_eq!(is_own(endpoint, host, port), own, "{endpoint} {host}:{port}");
        }
        let place = place(None, None, &[("AWS_ENDPOINT_URL", "http://localhost:8080")]).unwrap();
        let error = place.refuse_own_address("127.0.0.1", 8080).unwrap_err();
        assert!(error.contains("own address"), "{error}");
    }
}
