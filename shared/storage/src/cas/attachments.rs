//! Tags and policies: one document per owner and kind. Removing leaves the document with no text, so that its
//! revisions never recur.

use format::{AttachmentDoc, CATALOG_SCHEMA};
use model::OwnerUuid;

use super::CasCatalog;
use super::documents::Step;
use crate::catalog::{Attachment, Revision, WriteAttachment};
use crate::error::StoreError;
use crate::paths;

impl CasCatalog {
    pub(super) async fn read_attachment_document(
        &self,
        owner: OwnerUuid,
        attachment: Attachment,
    ) -> Result<Option<(String, Revision)>, StoreError> {
        let name = paths::catalog_attachment(owner, attachment);
        let version = self.documents.read::<AttachmentDoc>(&name, None).await?;
        Ok(version.and_then(|version| {
            let text = version.document.text.clone()?;
            Some((text, Revision(version.document.rev)))
        }))
    }

    pub(super) async fn write_attachment_document(
        &self,
        owner: OwnerUuid,
        attachment: Attachment,
        text: Option<String>,
        expected: Option<Revision>,
    ) -> Result<WriteAttachment, StoreError> {
        let name = paths::catalog_attachment(owner, attachment);
        let decide = |document: Option<&AttachmentDoc>, ambiguous: bool| {
            let current = document
                .filter(|document| document.text.is_some())
                .map(|document| Revision(document.rev));
            if current != expected {
                // Ours may have been written and overwritten unseen.
                return if ambiguous {
                    Step::Undecidable
                } else {
                    Step::Answer(WriteAttachment::Changed)
                };
            }
            if current.is_none() && text.is_none() {
                return Step::Answer(WriteAttachment::Done);
            }
            let next = AttachmentDoc {
                schema: CATALOG_SCHEMA,
                rev: 0,
                nonce: 0,
                owner,
                text: text.clone(),
            };
            Step::Write(next, WriteAttachment::Done)
        };
        Ok(self.documents.update(&name, None, decide).await?.0)
    }
}
