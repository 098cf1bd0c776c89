//! Tags and policies.

use std::sync::Arc;

use model::{BucketUuid, OwnerUuid};

use super::samples::Samples;
use crate::catalog::{Attachment, Catalog, Revision, WriteAttachment};

pub(super) async fn run(one: &Arc<dyn Catalog>, other: &Arc<dyn Catalog>, samples: &Samples) {
    let owner: OwnerUuid = BucketUuid(samples.ids.uuid()).into();
    let stranger: OwnerUuid = BucketUuid(samples.ids.uuid()).into();
    let tags = Attachment::Tags;
    let text = |text: &str| Some(text.to_owned());
    let mut seen: Vec<Revision> = Vec::new();
    for round in 0..3 {
        assert_eq!(one.read_attachment(owner, tags).await.unwrap(), None);
        assert_eq!(
            other.write_attachment(owner, tags, None, None).await.unwrap(),
            WriteAttachment::Done
        );
        assert_eq!(
            one.write_attachment(owner, tags, text("{}"), None).await.unwrap(),
            WriteAttachment::Done
        );
        assert_eq!(
            other.write_attachment(owner, tags, text("x"), None).await.unwrap(),
            WriteAttachment::Changed
        );
        let (stored, first) = other.read_attachment(owner, tags).await.unwrap().unwrap();
        assert_eq!(stored, "{}");
        assert_eq!(
            other
                .write_attachment(owner, tags, text("ü"), Some(first))
                .await
                .unwrap(),
            WriteAttachment::Done
        );
        for stale in seen.iter().copied().chain([first]).map(Some).chain([None]) {
            assert_eq!(
                one.write_attachment(owner, tags, text("x"), stale).await.unwrap(),
                WriteAttachment::Changed
            );
            assert_eq!(
                one.write_attachment(owner, tags, None, stale).await.unwrap(),
                WriteAttachment::Changed
            );
        }
        let (stored, second) = one.read_attachment(owner, tags).await.unwrap().unwrap();
        assert_eq!(stored, "ü", "round {round}");
        assert_eq!(one.read_attachment(owner, Attachment::Policy).await.unwrap(), None);
        assert_eq!(one.read_attachment(stranger, tags).await.unwrap(), None);
        assert_eq!(
            one.write_attachment(owner, tags, None, Some(second)).await.unwrap(),
            WriteAttachment::Done
        );
        seen.extend([first, second]);
    }
}
