//! Tags and policies: one item per owner and kind. Removing leaves the item without text, so that revisions never
//! recur.

use model::OwnerUuid;

use super::DynamoCatalog;
use super::item::Reader;
use super::request::{Update, Updated};
use super::schema::{self, Item, number, text};
use super::transact::Attempts;
use crate::catalog::{Attachment, Revision, WriteAttachment};
use crate::error::StoreError;

/// An item as it was read: its revision, and its text unless it was removed.
struct Stored {
    revision: u64,
    text: Option<String>,
}

impl DynamoCatalog {
    pub(super) async fn read_attachment_item(
        &self,
        owner: OwnerUuid,
        attachment: Attachment,
    ) -> Result<Option<(String, Revision)>, StoreError> {
        let stored = self.read_stored(owner, attachment).await?;
        Ok(stored.and_then(|stored| Some((stored.text?, Revision(stored.revision)))))
    }

    async fn read_stored(&self, owner: OwnerUuid, attachment: Attachment) -> Result<Option<Stored>, StoreError> {
        let what = format!("the {} of {owner}", attachment.word());
        let found = self.read_item(schema::attachment_key(owner, attachment), &what).await?;
        found.map(|found| to_stored(&found, &what)).transpose()
    }

    pub(super) async fn write_attachment_item(
        &self,
        owner: OwnerUuid,
        attachment: Attachment,
        new: Option<String>,
        expected: Option<Revision>,
    ) -> Result<WriteAttachment, StoreError> {
        let what = format!("the {} of {owner}", attachment.word());
        let mut attempts = Attempts::new(self, what.clone());
        loop {
            // What is expected says which revision the item has, unless it is to be absent: one that was removed has
            // a revision too, and only with it a late copy of this write cannot undo a later removal.
            let revision = match expected {
                Some(Revision(revision)) => Some(revision),
                None => match self.read_stored(owner, attachment).await? {
                    Some(Stored { text: Some(_), .. }) => return Ok(WriteAttachment::Changed),
                    stored => stored.map(|stored| stored.revision),
                },
            };
            if expected.is_none() && new.is_none() {
                return Ok(WriteAttachment::Done);
            }
            let key = schema::attachment_key(owner, attachment);
            let update = change(key, new.clone(), revision, expected.is_some());
            match self.update(update, &what).await? {
                Updated::Done(_) => return Ok(WriteAttachment::Done),
                Updated::Refused(found) => {
                    let found = found.map(|found| to_stored(&found, &what)).transpose()?;
                    if expected.is_some() || found.is_some_and(|found| found.text.is_some()) {
                        return Ok(WriteAttachment::Changed);
                    }
                }
            }
            attempts.conflicted().await?;
        }
    }
}

/// The update of an item that is at this revision (`None`: that is not there), with a text or without.
fn change(key: Item, new: Option<String>, revision: Option<u64>, has_text: bool) -> Update {
    let mut values = vec![(":next", number(revision.unwrap_or(0) + 1))];
    let change = match new {
        Some(new) => {
            values.push((":text", text(new)));
            "SET #rev = :next, #text = :text"
        }
        None => "SET #rev = :next REMOVE #text",
    };
    let condition = match revision {
        Some(revision) => {
            values.push((":rev", number(revision)));
            if has_text {
                "#rev = :rev AND attribute_exists(#text)"
            } else {
                "#rev = :rev AND attribute_not_exists(#text)"
            }
        }
        None => "attribute_not_exists(#pk)",
    };
    Update {
        key,
        change: change.to_owned(),
        condition: condition.to_owned(),
        values,
    }
}

fn to_stored(found: &Item, what: &str) -> Result<Stored, StoreError> {
    let read = Reader::new(found, &what);
    let text = read
        .has(schema::TEXT)
        .then(|| read.text(schema::TEXT).map(str::to_owned));
    Ok(Stored {
        revision: read.number(schema::REV)?,
        text: text.transpose()?,
    })
}
