//! ListVectors, page by page, several segments at a time.

use bytes::Bytes;
use futures::future::try_join_all;
use model::Operation;
use tokio::sync::mpsc::Sender;
use wire::JsonWriter;

use super::{ExportArgs, ExportError};
use crate::client::{Client, ClientError, IndexInfo};

const LIST: Operation = Operation::ListVectors;
/// As many as a PutVectors body may have, whose parser reads the pages. The server ends a page at 1 MB anyway.
const PAGE: u64 = 500;

/// The vectors of one page, as columns.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Page {
    pub(super) keys: Vec<String>,
    /// One vector after the other.
    pub(super) values: Vec<f32>,
    /// JSON text; `None` where there is none or it is `{}`, which the API does not tell apart.
    pub(super) metadata: Vec<Option<String>>,
}

/// Reads all segments of an index.
#[derive(Debug)]
pub(super) struct Segments<'a> {
    client: &'a Client,
    args: &'a ExportArgs,
    dimension: usize,
}

impl<'a> Segments<'a> {
    pub(super) fn new(client: &'a Client, args: &'a ExportArgs, index: &IndexInfo) -> Self {
        Self {
            client,
            args,
            dimension: index.dimension.get(),
        }
    }

    /// Sends every page; ends early when nobody takes them.
    pub(super) async fn send_all(&self, pages: Sender<Page>) -> Result<(), ExportError> {
        let segments = (0..self.args.segments).map(|segment| self.send_segment(segment, pages.clone()));
        try_join_all(segments).await.map(drop)
    }

    async fn send_segment(&self, segment: u8, pages: Sender<Page>) -> Result<(), ExportError> {
        let mut token = None;
        loop {
            let answer = self.client.call(LIST, self.request(segment, token.as_deref())).await?;
            let (page, next) = read_page(&answer, self.dimension)?;
            if !page.keys.is_empty() && pages.send(page).await.is_err() {
                return Ok(());
            }
            if next.is_none() {
                return Ok(());
            }
            if next == token {
                return Err(ClientError::answer(LIST, "the same token twice").into());
            }
            token = next;
        }
    }

    fn request(&self, segment: u8, token: Option<&str>) -> Bytes {
        let mut json = JsonWriter::new();
        json.begin_object();
        json.string_member("vectorBucketName", self.args.target.bucket.as_str());
        json.string_member("indexName", self.args.target.index.as_str());
        json.name("maxResults").unsigned(PAGE);
        json.name("segmentCount").unsigned(u64::from(self.args.segments));
        json.name("segmentIndex").unsigned(u64::from(segment));
        json.name("returnData")
            .boolean(true)
            .name("returnMetadata")
            .boolean(true);
        if let Some(token) = token {
            json.string_member("nextToken", token);
        }
        json.end_object();
        json.finish().into()
    }
}

/// A page has the shape of a PutVectors body, so the fast and exact parser of those reads it.
fn read_page(answer: &[u8], dimension: usize) -> Result<(Page, Option<String>), ClientError> {
    let wrong = |what: &str| ClientError::answer(LIST, what);
    let body = wire::parse_put_vectors(answer).map_err(|error| wrong(error.message()))?;
    if body.records.len() != body.record_count {
        return Err(wrong("more vectors than were asked for"));
    }
    let token = body
        .members
        .raw("nextToken")
        .and_then(|token| token.as_str().map(|token| token.into_owned()));
    let mut page = Page::default();
    page.values.reserve(body.records.len() * dimension);
    for record in body.records {
        if !record.faults.is_empty() || record.vector.len() != dimension {
            return Err(wrong(&format!(
                "key {:?} without the {dimension} values of its vector",
                record.key
            )));
        }
        page.values.extend_from_slice(&record.vector);
        let metadata = record
            .metadata
            .map(|metadata| metadata.get())
            .filter(|text| *text != "{}");
        page.metadata.push(metadata.map(ToOwned::to_owned));
        page.keys.push(record.key.into_owned());
    }
    Ok((page, token.filter(|token| !token.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let answer = br#"{"vectors":[{"key":"a","data":{"float32":[0.1,-0.0]},"metadata":{"x": 1.0}},
            {"key":"\u00e9","data":{"float32":[1e-45,3]},"metadata":{}},{"key":"c","data":{"float32":[5,6]}}],"nextToken":"t"}"#;
        let (page, token) = read_page(answer, 2).unwrap();
        assert_eq!(page.keys, ["a", "é", "c"]);
        assert_eq!(page.metadata, [Some("{\"x\": 1.0}".to_owned()), None, None]);
        assert_eq!(
            page.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>()[..3],
            [0.1_f32.to_bits(), 1 << 31, 1]
        );
        assert_eq!(token.as_deref(), Some("t"));
        assert_eq!(read_page(b"{\"vectors\":[]}", 2).unwrap(), (Page::default(), None));
    }

    #[test]
    fn answers_of_something_else() {
        assert!(read_page(b"<html>", 2).is_err());
        assert!(read_page(b"{\"vectors\":[{\"key\":\"a\"}]}", 2).is_err());
        assert!(read_page(b"{\"vectors\":[{\"key\":\"a\",\"data\":{\"float32\":[1]}}]}", 2).is_err());
    }
}
